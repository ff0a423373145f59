// A PEP that is stopped while a server of its own is still starting: no failure, and nothing is logged as one.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import type { Upstream } from '../../../schemas/pep-api.ts'
import { createPep } from '../compose.ts'
import { BIN_DIRECTORY, countingSql, createTestPdp } from '../testing.ts'
import { unisolated } from './child.ts'

const NEVER_LISTENS: Upstream = {
  id: 'slow',
  transport: 'http',
  url: 'http://127.0.0.1:${PORT}/mcp',
  command: 'node',
  args: ['-e', 'setTimeout(() => {}, 60_000)'],
  env: { PORT: '${PORT}' },
  cwd: null,
  instructions: 'withhold',
  writable: null,
}

test('stopping while a server starts warns of nothing', async () => {
  const lines: string[] = []
  const pep = createPep({
    pdp: createTestPdp([NEVER_LISTENS]).port,
    sql: countingSql(),
    env: { PATH: '/usr/bin:/bin' },
    monotonic: () => performance.now(),
    now: Date.now,
    uuid: randomUUID,
    log: pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) }),
    binDirectory: BIN_DIRECTORY,
    isolation: unisolated,
  })
  const ready = pep.ready()
  await sleep(500)
  await pep.stop()
  await ready
  expect(lines).toEqual([])
})
