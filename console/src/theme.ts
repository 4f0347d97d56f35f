/** Dark where the system is, also when that changes. */
export function followTheme() {
  const dark = window.matchMedia('(prefers-color-scheme: dark)')
  const set = () => document.documentElement.classList.toggle('pf-v6-theme-dark', dark.matches)
  dark.addEventListener('change', set)
  set()
}
