// A server that wants a credential of each person: what they are told who have none, whatever is known of its tools.
import { hash, randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { decideResponse, type Verdict } from '../../schemas/pep-api.ts'
import { copyBundle } from '../e2e/bundle-copy.ts'
import { startTestPdp, type TestPdp } from '../harness/pdp.ts'

let directory: string
let pdp: TestPdp
let token = ''
beforeAll(async () => {
  const from = 'credential: { kind: header, per: either, required: false }'
  const to = 'credential: { kind: oauth, issuer: https://as.test }'
  directory = await copyBundle([{ file: 'servers/everything/server.yaml', from, to }])
  pdp = await startTestPdp(directory)
  const grant = await pdp.admin.createGrant({
    user: 'carol',
    agent: 'demo',
    servers: ['everything'],
    teams: ['engineering'],
    expiresInMs: 3_600_000,
  })
  token = hash('sha256', grant.token)
})
afterAll(async () => {
  await pdp.stop()
  await rm(directory, { recursive: true })
})

async function decide(
  method: string,
  params: object,
  definition: string | null = null,
): Promise<Verdict> {
  const message = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })
  const call = {
    requestId: randomUUID(),
    token,
    server: 'everything',
    method,
    message,
    era: 'legacy',
    definition,
    client: null,
    sourceIp: null,
  }
  const answer = await pdp.app.request('/pep/v1/decide', {
    method: 'POST',
    headers: { ...pdp.authorization('pep'), 'content-type': 'application/json' },
    body: JSON.stringify({ calls: [call] }),
  })
  const [result] = decideResponse.parse(await answer.json()).results
  if (result?.kind !== 'verdict') throw new Error(JSON.stringify(result))
  return result
}

const INITIALIZE = {
  protocolVersion: '2025-06-18',
  capabilities: {},
  clientInfo: { name: 'c', version: '1' },
}
const echo = () => pdp.bundle.servers.get('everything')?.tools.get('echo')?.latest ?? ''
const CALL = { name: 'echo', arguments: { message: 'hi' } }

test.each([
  { what: 'connecting', ask: () => decide('initialize', INITIALIZE) },
  { what: 'a call', ask: () => decide('tools/call', CALL, echo()) },
  { what: 'a call of a tool nobody has seen', ask: () => decide('tools/call', CALL) },
  {
    what: 'a call of a tool there is none of',
    ask: () => decide('tools/call', { ...CALL, name: 'none' }),
  },
])('$what: the refusal says where to connect', async ({ ask }) => {
  const verdict = await ask()
  expect(verdict).toMatchObject({ decision: 'deny', code: 'credential_unavailable', policies: [] })
  expect(verdict.text).toContain(
    'open https://pdp.test/connect/everything?user=carol to connect it, then call again',
  )
  expect(verdict).not.toHaveProperty('credential')
})

test('what policy denies is denied by policy', async () => {
  const verdict = await decide('tools/call', { name: 'get-env', arguments: {} }, 'f'.repeat(64))
  expect(verdict.code).not.toBe('credential_unavailable')
  expect(verdict.text).not.toContain('/connect/')
})
