// Log lines where nothing can be written.
import { spawnSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { expect, test } from 'vitest'

test('a full disk loses the lines, and holds nobody up', () => {
  const full = openSync('/dev/full', 'w')
  const module = new URL('log.ts', import.meta.url).href
  const lines =
    'for (let line = 0; line < 1000; line++) stderrLines.write("x\\n"); console.log("done")'
  const code = ['import { stderrLines } from', JSON.stringify(module), ';', lines].join(' ')
  const words = ['--input-type=module', '-e', code]
  const options = { stdio: ['ignore', 'pipe', full], timeout: 20_000, encoding: 'utf8' } as const
  const { stdout, status } = spawnSync(process.execPath, words, {
    ...options,
    stdio: [...options.stdio],
  })
  closeSync(full)
  expect([stdout, status]).toEqual(['done\n', 0])
})
