// A real server that speaks only the HTTP+SSE transport of 2024-11-05, behind the gateway. Its clients speak Streamable HTTP.
import { afterAll, beforeAll, describe } from 'vitest'
import { type RealServers, startRealServers } from './real-servers.ts'
import { everythingRow, testServer } from './server-parity.ts'

const SERVER = 'everything-sse'

let real: RealServers
beforeAll(async () => {
  real = await startRealServers([SERVER])
})
afterAll(() => real.stop())

describe('everything, over HTTP+SSE', () => {
  testServer(everythingRow(SERVER), () => real)
})
