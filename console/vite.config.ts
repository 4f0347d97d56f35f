import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import react from '@vitejs/plugin-react'
import { defineConfig, type Plugin } from 'vite'

/** Puts a compressed form beside each file that gets smaller by it; the plane sends that one. */
function compressed(): Plugin {
  return {
    name: 'compressed',
    apply: 'build',
    writeBundle({ dir = 'dist' }) {
      for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.(js|css|html|svg)$/.test(entry.name)) continue
        const file = join(entry.parentPath, entry.name)
        writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: 9 }))
      }
    },
  }
}

/** `PLANE=https://127.0.0.1:1234 npm run dev` shows the page as it is being written, on the data of that plane. */
const plane = { target: process.env['PLANE'] ?? 'https://127.0.0.1', changeOrigin: true, secure: false }

export default defineConfig({
  base: '/console/',
  plugins: [react(), compressed()],
  server: { proxy: { '/v1': plane } },
  build: { assetsInlineLimit: 0, chunkSizeWarningLimit: 1500 },
})
