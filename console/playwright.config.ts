import { defineConfig } from '@playwright/test'

const MINUTE = 60_000

/** Debian's Chromium, against the plane that the environment names. */
export default defineConfig({
  testDir: 'tests',
  timeout: 20 * MINUTE,
  expect: { timeout: MINUTE },
  workers: 1,
  reporter: 'line',
  use: {
    baseURL: `${process.env['PLANE']}/console/`,
    viewport: { width: 1400, height: 900 },
    trace: 'retain-on-failure',
    launchOptions: {
      executablePath: '/usr/bin/chromium',
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    },
  },
})
