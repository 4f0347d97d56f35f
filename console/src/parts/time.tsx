/** Times, as people read them. */
import { useEffect, useState } from 'react'

/** Now; told anew each second while it is asked for. */
export function useNow(ticking = true): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    if (!ticking) return
    const timer = setInterval(() => setNow(Date.now()), 1000)
    return () => clearInterval(timer)
  }, [ticking])
  return now
}

/** Such as `1 min 12 s`. */
export function lasting(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000))
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ]
  const first = parts.findIndex(([count]) => count > 0)
  if (first < 0) return '0 s'
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ')
}

/** How long ago something was. */
export function Ago({ at }: { at: string | null | undefined }) {
  const now = useNow()
  if (!at) return <>–</>
  return (
    <time dateTime={at} title={new Date(at).toLocaleString()}>
      {lasting(now - Date.parse(at))} ago
    </time>
  )
}
