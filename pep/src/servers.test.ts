// Which servers are served follows the bundle while the PEP runs.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Upstream } from '../../schemas/pep-api.ts'
import {
  countingSql,
  createTestPdp,
  openTestUpstream,
  post,
  type RunningTestPep,
  startTestPep,
  type TestPdp,
  type TestUpstream,
  toolCall,
  until,
} from './testing.ts'

let one: TestUpstream
let two: TestUpstream
let pdp: TestPdp
let pep: RunningTestPep
const upstreams: Upstream[] = []

beforeAll(async () => {
  one = await openTestUpstream('one')
  two = await openTestUpstream('two')
  upstreams.push(one.upstream)
  pdp = createTestPdp(upstreams)
  pep = await startTestPep({ pdp: pdp.port, sql: countingSql() })
})
afterAll(async () => {
  await pep.close()
  await one.close()
  await two.close()
})

const reach = async (server: string) => {
  const { json } = await post(`${pep.url}/${server}/mcp`, toolCall())
  return json.result?.['isError'] !== true
}
const isLooked = (server: string) => () => pdp.definitions.has(server)
/** As the PDP tells of it. */
const setBundle = (...next: Upstream[]) => {
  upstreams.splice(0, upstreams.length, ...next)
  pdp.definitions.clear()
  pdp.tell({ kind: 'bundle', bundle: 'c'.repeat(64) })
}

test('only what the bundle names', async () => {
  expect([await reach('one'), await reach('two')]).toEqual([true, false])
})

test('a server that joins is looked at and served; one that leaves is not', async () => {
  setBundle(two.upstream)
  await until(isLooked('two'))
  expect([await reach('one'), await reach('two')]).toEqual([false, true])
})

test('a server that moves is reached where it is now', async () => {
  setBundle({ ...one.upstream, id: 'two' })
  await until(isLooked('two'))
  one.reached.length = 0
  two.reached.length = 0
  expect(await reach('two')).toBe(true)
  expect([one.reached.length, two.reached.length]).toEqual([1, 0])
})

test('while the PDP cannot be asked, what is served stays', async () => {
  const get = pdp.port.get
  Object.assign(pdp.port, { get: () => Promise.reject(new Error('down')) })
  pdp.tell({ kind: 'bundle', bundle: 'd'.repeat(64) })
  expect(await reach('two')).toBe(true)
  Object.assign(pdp.port, { get })
})
