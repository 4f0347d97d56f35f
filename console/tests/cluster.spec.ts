/** A person signs in, sees the site, and watches a cluster become Ready without touching the page again. */
import { readFile } from 'node:fs/promises'
import { expect, test, type Page } from '@playwright/test'

const { EMAIL = '', PASSWORD = '', CLUSTER = '', SCREENSHOTS } = process.env
/** How long a cluster may take: on machines under emulation it does take that long. */
const READY = 15 * 60_000

async function shoot(page: Page, name: string) {
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/${name}.png` })
}

async function signIn(page: Page, password: string) {
  await page.getByLabel('E-mail').fill(EMAIL)
  await page.getByLabel('Password', { exact: false }).first().fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

test('a cluster is watched until it is Ready', async ({ page, context }) => {
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (said) => {
    // The browser says of each refusal that there was one, also of those that are meant.
    if (said.type() === 'error' && !/status of (400|401|404|503)/.test(said.text())) complaints.push(said.text())
  })

  await page.goto('')
  await signIn(page, 'not the password')
  await expect(page.getByText('no user has this e-mail address and password')).toBeVisible()
  await shoot(page, 'sign-in')
  await signIn(page, PASSWORD)
  await expect(page.getByText('Live', { exact: true })).toBeVisible()
  expect((await context.cookies()).filter((cookie) => !cookie.httpOnly || !cookie.secure)).toEqual([])

  await page.getByRole('link', { name: CLUSTER, exact: true }).click()
  await expect(page.getByRole('heading', { name: CLUSTER, exact: true })).toBeVisible()
  const state = page.locator('h1 + *')
  await expect(state).toHaveText(/Provisioning|Running/)
  await shoot(page, 'provisioning')
  // From here on the plane tells the page what is new.
  await expect(state).toHaveText('Running', { timeout: READY })
  const layers = page.getByRole('grid', { name: 'Layers' })
  await expect(layers.getByRole('row', { name: /cni-bessemer.*Ready/ })).toBeVisible()
  await expect(layers.getByRole('row', { name: /hello.*Ready/ })).toBeVisible()
  const ready = page.getByRole('grid', { name: 'Machines', exact: true }).getByText('Ready', { exact: true })
  await expect(ready).toHaveCount(2)
  await expect(page.getByRole('list', { name: 'Timeline' }).getByText('Running', { exact: true })).toBeVisible()
  await expect(page.getByRole('grid', { name: 'Events' }).getByText('Ordered', { exact: true })).toBeVisible()
  await shoot(page, 'cluster')

  const downloading = page.waitForEvent('download')
  await page.getByRole('button', { name: 'Kubeconfig' }).click()
  const kubeconfig = await (await downloading).path()
  expect(await readFile(kubeconfig, 'utf8')).toContain(`"current-context": "${CLUSTER}"`)

  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Clusters' }).click()
  await expect(page.getByRole('grid', { name: 'Clusters' }).getByText('Healthy', { exact: true })).toBeVisible()
  await shoot(page, 'clusters')
  await page.getByRole('link', { name: 'Machines', exact: true }).click()
  await expect(page.getByText('2 machines, 0 free')).toBeVisible()
  await shoot(page, 'machines')
  await page.getByRole('link', { name: 'Sites', exact: true }).click()
  await expect(page.getByRole('grid', { name: 'Sites' }).getByText('Running', { exact: true })).toBeVisible()
  await shoot(page, 'sites')

  // The session outlives the page, and ends where the user says so.
  await page.reload()
  await expect(page.getByRole('heading', { name: 'Sites', exact: true })).toBeVisible()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await expect(page.getByRole('button', { name: 'Sign in' })).toBeVisible()
  expect(await context.cookies()).toEqual([])
  expect(complaints).toEqual([])
})
