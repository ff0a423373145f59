// Access tokens of a company's provider, from real MCP clients through a PEP and a PDP to a server and into the record:
// who it was is in the record, and the token is nowhere.
import { hash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DETAIL_COLUMNS, DETAIL_JOINS, openDetail } from '../../pdp/src/ledger/open-detail.ts'
import { GRANT_AGE_MS_MAX } from '../../schemas/limits.ts'
import { connectClient, type Line } from '../harness/client.ts'
import { type Gateway, startGateway } from '../harness/gateway.ts'
import { AUDIENCE, CLIENTS, type Idp, startIdp } from '../harness/idp.ts'
import { identityLines, issuerOf } from '../harness/idp-pdp.ts'
import { callText, tell } from '../harness/mcp-request.ts'

let idp: Idp
let gateway: Gateway
let logged = ''
/** Every token that was shown to the gateway. */
const shown: string[] = []

beforeAll(async () => {
  idp = await startIdp()
  idp.accounts.set('dora', { groups: ['Staff'] })
  const log = pino({ level: 'trace' }, { write: (line: string) => void (logged += line) })
  gateway = await startGateway({ gatewayLines: identityLines([issuerOf(idp)]), log })
})
afterAll(async () => {
  await gateway.stop()
  await idp.stop()
})

async function tokenOf(account: string): Promise<string> {
  const token = await idp.accessToken({ account })
  shown.push(token)
  return token
}

async function call(token: string, tool = 'echo') {
  if (!shown.includes(token)) shown.push(token)
  return await tell(gateway, { token, body: callText('{"message":"hello"}', tool) })
}

test.each<Line>(['sdk-1.32', 'client-2.4'])('%s calls with one, and the record says who it was', async (line) => {
  const token = await tokenOf('dora')
  const before = await gateway.recorded()
  const client = await connectClient(line, { pepUrl: `http://127.0.0.1:${gateway.port}`, server: 'echo', token })
  expect(await client.listTools()).toEqual(['echo'])
  expect(await client.call('echo', { message: 'hello' })).toMatchObject({ isError: false })
  expect(await client.call('secret')).toMatchObject({ refusal: { code: 'no_permit' } })
  await client.close()
  const rows = (await gateway.decisionsAfter(before)).filter(({ tool }) => tool !== null)
  expect(rows.map(({ user, agent, tool, verdict }) => [user, agent, tool, verdict])).toEqual([
    ['dora', 'demo', 'echo', 'allow'],
    ['dora', 'demo', 'secret', 'deny'],
  ])
  for (const { id } of rows) expect(await identityOf(id)).toEqual({ grant: expect.any(String), token: hash('sha256', token) })
}) // biome-ignore format: long lines

/** What the record keeps, sealed, of how they were known. */
async function identityOf(id: string): Promise<unknown> {
  const [row] = await gateway.store.sql.query(
    `select r.leaf_hash, ${DETAIL_COLUMNS} from record r ${DETAIL_JOINS} where r.id = $1`,
    [id],
  )
  const detail = row && openDetail(gateway.keys.vault, row, id, row['leaf_hash'] as Uint8Array)
  return JSON.parse(detail?.values.idt ?? 'null')
}

test('a group that is taken away is gone with the next token, for the token of before too', async () => {
  const before = await tokenOf('dora')
  expect((await call(before)).isError).toBe(false)
  idp.accounts.set('dora', { groups: [] })
  await sleep(1_100) // The provider counts in seconds.
  const after = await tokenOf('dora')
  for (const token of [after, before])
    expect((await call(token)).said).toMatchObject({ code: 'no_permit' })
  idp.accounts.set('dora', { groups: ['Staff'] })
  await sleep(1_100)
  expect((await call(await tokenOf('dora'))).isError).toBe(false)
})

test('what is none is answered 401, as far as its holder may know', async () => {
  const iat = Math.floor(Date.now() / 1000) - 600
  const good = { iss: idp.issuer, sub: 'dora', aud: AUDIENCE, client_id: CLIENTS.agent, iat, exp: iat + 1200 }
  const sign = (changes: object) => idp.sign({ ...good, ...changes })
  const challenges = new Map<string, string | undefined>()
  const ask = async (what: string, token: string) => {
    shown.push(token)
    const told = await tell(gateway, { path: '/t/echo/mcp', token, body: callText('{"message":"hello"}') })
    challenges.set(`${what} ${told.status}`, told.headers['www-authenticate']?.toString())
  }
  await ask('expired', await sign({ exp: iat + 1 }))
  await ask('audience', await sign({ aud: 'https://other.test/' }))
  await ask('client', await sign({ client_id: CLIENTS.other }))
  await ask('issuer', await sign({ iss: 'https://other.test' }))
  await ask('id token', await idp.idToken({ account: 'dora' }))
  await ask('signature', `${(await sign({})).slice(0, -8)}AAAAAAAA`)
  expect(Object.fromEntries(challenges)).toMatchInlineSnapshot(`
    {
      "audience 401": "Bearer error="invalid_token", error_description="the token was issued for another audience"",
      "client 401": "Bearer error="invalid_token", error_description="the token was issued to a client that has no grant here"",
      "expired 401": "Bearer error="invalid_token", error_description="the token has expired"",
      "id token 401": "Bearer error="invalid_token", error_description="the token was issued for another audience"",
      "issuer 401": "Bearer error="invalid_token", error_description="the token is not known here, or not any more"",
      "signature 401": "Bearer error="invalid_token", error_description="the token is not known here, or not any more"",
    }
  `)
}) // biome-ignore format: long lines

test('a revoked grant: no fresh token helps', async () => {
  const token = await tokenOf('dora')
  expect((await call(token)).status).toBe(200)
  const [grant] = await gateway.pdp.admin.listGrants({ user: 'dora', limit: 10 })
  await gateway.pdp.admin.revokeGrant(grant?.id ?? '')
  await sleep(GRANT_AGE_MS_MAX)
  const reached = gateway.upstream.reached.length
  expect([(await call(token)).status, (await call(await tokenOf('dora'))).status]).toEqual([
    401, 401,
  ])
  expect(gateway.upstream.reached.length).toBe(reached)
})

test('no token that was shown is anywhere: not in a table, not in a log, not at the server', async () => {
  const tables = await gateway.store.sql.query(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables
     where schemaname not in ('pg_catalog', 'information_schema')`,
  )
  let kept = logged + JSON.stringify(gateway.upstream.reached)
  for (const { name } of tables) {
    const rows = await gateway.store.sql.query(`select t::text as row from ${String(name)} t`)
    kept += rows.map(({ row }) => String(row)).join('\n')
  }
  expect(kept).toContain('an access token was not taken')
  expect(kept).toContain('dora')
  expect(shown.length).toBeGreaterThan(10)
  const forms = shown.flatMap((token) => token.split('.').slice(1).flatMap(formsOf))
  expect(forms.filter((form) => kept.includes(form))).toEqual([])
})

/** A part of a token as it is, and as bytes in hexadecimal. */
function formsOf(part: string): string[] {
  const bytes = [Buffer.from(part), Buffer.from(part, 'base64url')]
  return part.length < 8 ? [] : [part, ...bytes.map((one) => one.toString('hex'))]
}
