// Operators sign in at a real OpenID provider: whose ID token is taken, once, and what they may be by it.
import { randomUUID } from 'node:crypto'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { readLoginFile } from '../../pdp/src/identity/login-file.ts'
import { actRow, createdSession } from '../../schemas/admin-api.ts'
import { CLIENTS, type Idp, startIdp } from '../harness/idp.ts'
import { signInAs } from '../harness/operators.ts'
import { EXAMPLE_BUNDLE, startTestPdp, type TestPdp } from '../harness/pdp.ts'

let idp: Idp
let pdp: TestPdp
let admin: Record<string, string>
let logged = ''
const log = pino({ level: 'debug' }, new Writable({
  write(chunk, _encoding, done) {
    logged += String(chunk)
    done()
  },
})) // biome-ignore format: one stream

beforeAll(async () => {
  idp = await startIdp()
  idp.accounts.set('rob', { groups: ['Ops', 'Staff'] })
  idp.accounts.set('sue', { groups: ['Staff'] })
  idp.accounts.set('out', { groups: ['Strangers'] })
  const login = readLoginFile(
    'login.yaml',
    `issuer: ${idp.issuer}\nclientId: ${CLIENTS.cli}\nroles:\n  admin: [Ops]\n  viewer: [Staff, Ops]\n`,
  )
  pdp = await startTestPdp(EXAMPLE_BUNDLE, { login, log, authFailuresMax: 1_000 })
  admin = await signInAs(pdp, 'root', ['admin', 'auditor'])
})
afterAll(async () => {
  await pdp.stop()
  await idp.stop()
})

async function post(path: string, body: object) {
  const answer = await pdp.app.request(`/admin/v1/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  return { status: answer.status, body: (await answer.json()) as { message?: string } }
}

/** What the admin orders. */
async function orderAs(method: string, path: string, body?: object) {
  const answer = await pdp.app.request(`/admin/v1/${path}`, {
    method,
    headers: { ...admin, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: answer.status, body: await answer.json() }
}

/** Without a nonce, two of one second would be the same. */
const idTokenOf = (account: string): Promise<string> =>
  idp.idToken({ account, client: CLIENTS.cli, audience: null, nonce: randomUUID() })
const signIn = async (account: string) => post('sessions', { idToken: await idTokenOf(account) })

async function get(path: string, headers: Record<string, string>) {
  const answer = await pdp.app.request(`/admin/v1/${path}`, { headers })
  return { status: answer.status, body: await answer.json() }
}

async function sessionOf(account: string): Promise<Record<string, string>> {
  const { token } = createdSession.parse((await signIn(account)).body)
  return { authorization: `Bearer ${token}` }
}

const lastActs = async () =>
  z.object({ acts: z.array(actRow) }).parse((await get('acts?limit=3', admin)).body).acts
const users = async () => (await pdp.store.sql.query('select id from users order by id')).length

test('anybody may ask where to sign in', async () => {
  expect(await get('login', {})).toEqual({
    status: 200,
    body: { issuer: idp.issuer, clientId: CLIENTS.cli, scope: 'openid profile email' },
  })
  const without = await startTestPdp()
  expect((await without.app.request('/admin/v1/login')).status).toBe(404)
  await without.stop()
})

test('groups give roles; the session says so, and the sign-in is an act', async () => {
  const made = await signIn('rob')
  expect(made).toMatchObject({ status: 201, body: { user: 'rob', roles: ['admin', 'viewer'] } })
  const headers = await sessionOf('sue')
  expect(await get('whoami', headers)).toMatchObject({ body: { user: 'sue', roles: ['viewer'] } })
  expect(await get('grants', headers)).toMatchObject({ status: 200 })
  expect(await get('acts', headers)).toMatchObject({ status: 403 })
  const [sue, rob] = await lastActs()
  expect(rob).toMatchObject({ act: 'sessions.create', by: 'rob', status: 201, what: { roles: ['admin', 'viewer'] } })
  expect(sue).toMatchObject({ act: 'sessions.create', by: 'sue', status: 201 })
}) // biome-ignore format: long lines

test('an admin by groups ends the bootstrap token', async () => {
  const { token } = await pdp.bootstrap.renew()
  await sessionOf('sue')
  expect(await pdp.bootstrap.isWaiting(token)).toBe(true)
  await sessionOf('rob')
  expect(await post('bootstrap', { token, user: 'eve' })).toMatchObject({ status: 401 })
})

test('an ID token signs in once: also written with another signature, also twice at once', async () => {
  const idToken = await idTokenOf('sue')
  const both = await Promise.all([post('sessions', { idToken }), post('sessions', { idToken })])
  expect(new Set(both.map(({ status }) => status))).toEqual(new Set([201, 401]))
  const now = Math.floor(Date.now() / 1000)
  const claims = { iss: idp.issuer, aud: CLIENTS.cli, sub: 'sue', iat: now, exp: now + 60, groups: ['Staff'] }
  const signed = await idp.sign(claims, { typ: 'JWT' })
  expect(await post('sessions', { idToken: signed })).toMatchObject({ status: 201 })
  const twin = otherSignature(signed)
  expect(twin).not.toBe(signed)
  const replayed = await post('sessions', { idToken: twin })
  expect(replayed).toMatchObject({ status: 401, body: { message: expect.stringMatching(/signed in with this ID token before/) } })
}) // biome-ignore format: long lines

test('who has no role is told so, and leaves nothing behind', async () => {
  const before = await users()
  const [act] = await lastActs()
  const refused = await signIn('out')
  expect(refused.status).toBe(403)
  expect(refused.body.message).toMatch(/^out has no role here/)
  expect(refused.body.message).toContain(
    `cedargate users add out --issuer ${idp.issuer} --subject out`,
  )
  expect(await users()).toBe(before)
  expect((await lastActs())[0]).toEqual(act)
})

test('a role that an admin gave counts without a group, and only for who is linked', async () => {
  await pdp.store.sql.query(`insert into users (id, teams, created, roles) values ('out', '{}', now(), '{viewer}')`)
  expect(await signIn('out')).toMatchObject({ status: 403 })
  await pdp.admin.putUser('out', { link: { issuer: idp.issuer, subject: 'out' } })
  expect(await signIn('out')).toMatchObject({ status: 201, body: { user: 'out', roles: ['viewer'] } })
}) // biome-ignore format: long lines

test('a user id that is somebody else’s is not taken by name', async () => {
  await pdp.store.sql.query(`insert into users (id, teams, created, roles) values ('taken', '{}', now(), '{admin}')`)
  idp.accounts.set('taken', { groups: ['Staff'] })
  const refused = await signIn('taken')
  expect(refused).toMatchObject({ status: 403 })
  expect(refused.body.message).toMatch(/another user taken/)
  expect(refused.body.message).toContain(`cedargate users add taken --issuer ${idp.issuer} --subject taken`)
  await pdp.admin.putUser('taken', { link: { issuer: idp.issuer, subject: 'taken' } })
  expect(await signIn('taken')).toMatchObject({ status: 201, body: { roles: ['admin', 'viewer'] } })
}) // biome-ignore format: long lines

test('whose claims name no user id is told so, and which claim it is', async () => {
  const before = await users()
  const refused = await post('sessions', { idToken: await idp.sign({ ...claimsAt(0), sub: '-x' }, { typ: 'JWT' }) })
  expect(refused).toMatchObject({ status: 403, body: { code: 'forbidden' } })
  expect(refused.body.message).toMatch(/the claim sub of -x is no user id: .*`sub`.*`userClaim` of the login file/)
  expect(await users()).toBe(before)
}) // biome-ignore format: long lines

test('whom the provider made gets no role, nor becomes the first admin, until an admin names who they are', async () => {
  await sessionOf('sue')
  const command = `cedargate users add sue --issuer ${idp.issuer} --subject sue`
  const roles = () => orderAs('PUT', 'users/sue/roles', { roles: ['approver'] })
  expect(await roles()).toMatchObject({ status: 400, body: { message: expect.stringContaining(command) } })
  const { token } = await pdp.bootstrap.renew()
  const bootstrap = await post('bootstrap', { token, user: 'sue' })
  expect(bootstrap).toMatchObject({ status: 400, body: { message: expect.stringContaining(command) } })
  expect(await pdp.bootstrap.isWaiting(token)).toBe(true)
  const link = { issuer: idp.issuer, subject: 'sue' }
  expect(await orderAs('PUT', 'users/sue', { link })).toMatchObject({ status: 200, body: { link: { ...link, vouched: true } } })
  expect(await roles()).toMatchObject({ status: 200 })
}) // biome-ignore format: long lines

test('unlinked, somebody has no session and no way back by name', async () => {
  idp.accounts.set('eve', { groups: ['Staff'] })
  const headers = await sessionOf('eve')
  expect(await orderAs('DELETE', 'users/eve/link')).toMatchObject({ status: 200, body: { link: null, sessions: 0 } })
  expect(await get('whoami', headers)).toMatchObject({ status: 401 })
  expect(await signIn('eve')).toMatchObject({ status: 403, body: { message: expect.stringMatching(/another user eve/) } })
  expect((await lastActs()).map(({ act }) => act)).toContain('users.unlink')
}) // biome-ignore format: long lines

test('who is offboarded gets no role', async () => {
  expect(await orderAs('PUT', 'users/late', {})).toMatchObject({ status: 200 })
  expect(await orderAs('POST', 'users/late/offboard', {})).toMatchObject({ status: 200 })
  const refused = await orderAs('PUT', 'users/late/roles', { roles: ['admin'] })
  expect(refused).toMatchObject({
    status: 400,
    body: { message: expect.stringMatching(/cedargate users reinstate late/) },
  })
})

test('who is offboarded loses the session at once and gets no other', async () => {
  idp.accounts.set('gone', { groups: ['Ops'] })
  const headers = await sessionOf('gone')
  expect(await get('whoami', headers)).toMatchObject({ status: 200 })
  await pdp.admin.offboardUser('gone')
  expect(await get('whoami', headers)).toMatchObject({ status: 401 })
  expect(await signIn('gone')).toMatchObject({ status: 403, body: { message: 'gone is offboarded' } })
}) // biome-ignore format: long lines

const seconds = (): number => Math.floor(Date.now() / 1000)
const claimsAt = (offset: number) => ({ iss: idp.issuer, aud: CLIENTS.cli, sub: 'rob', groups: ['Ops'], iat: seconds() + offset, exp: seconds() + 3_600 }) // biome-ignore format: short

test.each<{ name: string; token: () => Promise<string> }>([
  { name: 'for another client', token: () => idp.idToken({ account: 'rob', client: CLIENTS.agent }) },
  { name: 'that is an access token', token: () => idp.accessToken({ account: 'rob', client: CLIENTS.cli }) },
  { name: 'of another issuer', token: () => idp.sign({ ...claimsAt(0), iss: 'https://evil.test' }, { typ: 'JWT' }) },
  { name: 'that is old', token: () => idp.sign(claimsAt(-640), { typ: 'JWT' }) },
  { name: 'that has expired', token: () => idp.sign({ ...claimsAt(-100), exp: seconds() - 60 }, { typ: 'JWT' }) },
  { name: 'of the future', token: () => idp.sign(claimsAt(120), { typ: 'JWT' }) },
  { name: 'that nobody signed', token: async () => `${(await idTokenOf('rob')).split('.').slice(0, 2).join('.')}.` },
  { name: 'that is none', token: async () => 'x.y.z' },
])('an ID token $name is refused', async ({ token }) => {
  const idToken = await token()
  const refused = await post('sessions', { idToken })
  expect(refused).toMatchObject({ status: 401, body: { code: 'unauthenticated' } })
  expect(logged).not.toContain(idToken)
}) // biome-ignore format: a table

test.each([
  {},
  { idToken: 1 },
  { idToken: 'x', more: 1 },
  { idToken: 'x'.repeat(8_193) },
  { idToken: 'x'.repeat(20_000) },
])('what is no request to sign in is refused: %#', async (body) => {
  expect([400, 413]).toContain((await post('sessions', body)).status)
})

test('the first admin: once, as an act, and the token is nowhere', async () => {
  const { token } = await pdp.bootstrap.renew()
  expect(await post('bootstrap', { token: `${token}x`, user: 'first' })).toMatchObject({ status: 401 })
  expect(await post('bootstrap', { token, user: 'no such id' })).toMatchObject({ status: 400 })
  const tries = await Promise.all(['first', 'second'].map((user) => post('bootstrap', { token, user })))
  expect(new Set(tries.map(({ status }) => status))).toEqual(new Set([201, 401]))
  const made = createdSession.parse(tries.find(({ status }) => status === 201)?.body)
  expect(made.roles).toEqual(['admin'])
  const headers = { authorization: `Bearer ${made.token}` }
  expect(await get('whoami', headers)).toMatchObject({ body: { user: made.user, roles: ['admin'] } })
  const recorded = (await lastActs()).filter(({ act }) => act === 'bootstrap')
  expect(recorded).toContainEqual(expect.objectContaining({ by: made.user, status: 201, what: { user: made.user } }))
  const tables = await Promise.all(
    ['users', 'login_sessions', 'bootstrap', 'record'].map((table) => pdp.store.sql.query(`select * from ${table}`)),
  )
  for (const secret of [token, made.token]) {
    expect(JSON.stringify(tables)).not.toContain(secret)
    expect(logged).not.toContain(secret)
  }
}) // biome-ignore format: long lines

/** ECDSA: (r, n - s) is a signature too. */
function otherSignature(jwt: string): string {
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
  const [header, payload, signature = ''] = jwt.split('.')
  const bytes = Buffer.from(signature, 'base64url')
  const s = order - BigInt(`0x${bytes.subarray(32).toString('hex')}`)
  bytes.write(s.toString(16).padStart(64, '0'), 32, 'hex')
  return [header, payload, bytes.toString('base64url')].join('.')
}
