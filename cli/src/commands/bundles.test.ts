// Which bundle a word means. Everything else of these commands is in test/e2e/cli.test.ts, against a gateway.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type BundleRow, bundleRow, bundleState } from '../../../schemas/admin-api.ts'
import { runHere } from '../../../test/harness/in-process.ts'

const AT = '2026-11-22T12:00:00.000Z'
const idOf = (beginning: string) => beginning.padEnd(64, '0')
const row = (beginning: string, active = false): BundleRow =>
  bundleRow.parse({
    id: idOf(beginning),
    bytes: 1,
    source: 'directory',
    commit: null,
    active,
    pinned: false,
    firstActiveAt: AT,
    lastActiveAt: active ? null : AT,
  })
const ROWS = [row('abc1'), row('abc2', true), row('def')]
const STATE = bundleState.parse({
  id: idOf('abc2'),
  source: 'directory',
  commit: null,
  activatedAt: AT,
  confirmedAt: AT,
  stale: false,
  pinned: true,
  problem: null,
})

let server: Server
/** The last request, as `METHOD /path`. */
let asked: string
let env: Record<string, string>
beforeAll(async () => {
  server = createServer((request, answer) => {
    asked = `${request.method} ${request.url}`
    const body = request.method === 'GET' ? { state: STATE, bundles: ROWS } : { state: STATE }
    answer.setHeader('content-type', 'application/json').end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  env = { CEDARGATE_URL: url, CEDARGATE_TOKEN: 'cgo' }
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

test.each([
  { word: 'active', means: 'abc2' },
  { word: 'previous', means: 'abc1' },
  { word: 'd', means: 'def' },
  { word: 'abc1', means: 'abc1' },
  { word: idOf('def'), means: 'def' },
])('$word means $means', async ({ word, means }) => {
  expect(await runHere(['bundles', 'activate', word], env)).toMatchObject({ code: 0, stdout: '' })
  expect(asked).toBe(`POST /admin/v1/bundles/${idOf(means)}/pin`)
})

test.each([
  { word: 'abc', says: '`abc` is the beginning of several bundles' },
  { word: 'a', says: '`a` is the beginning of several bundles' },
  { word: '', says: 'no bundle `` was ever active' },
  { word: 'ABC1', says: 'no bundle `ABC1` was ever active' },
  { word: `${idOf('def')}0`, says: 'was ever active' },
])('$word means none: exit 2, and nothing is held', async ({ word, says }) => {
  const { code, stdout, stderr } = await runHere(['bundles', 'activate', word], env)
  expect({ code, stdout, asked }).toEqual({ code: 2, stdout: '', asked: 'GET /admin/v1/bundles' })
  expect(stderr).toContain(says)
})

test('--follow lets go', async () => {
  await runHere(['bundles', 'activate', '--follow'], env)
  expect(asked).toBe('DELETE /admin/v1/bundles/pin')
})
