// Owns the check that the benchmark measures what its bundle reviewed: the lock is of the very tool the upstream serves.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeToolsLock } from '../../pdp/src/catalog/lock.ts'
import { toolsLock } from '../../schemas/bundle.ts'
import { TOOL } from './gateway/workload.ts'

test('the lock of the bench bundle', async () => {
  const file = join(import.meta.dirname, 'bundle', 'servers', 'bench', 'tools.lock.json')
  const lock = toolsLock.parse(JSON.parse(await readFile(file, 'utf8')))
  expect(lock).toEqual(makeToolsLock([structuredClone(TOOL) as never], lock))
})
