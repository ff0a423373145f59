// ID tokens that an operator may not sign in with: against a real provider, one thing broken a row.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { ID_TOKEN_AGE_MS_MAX, JWT_TOLERANCE_SECONDS } from '../../schemas/limits.ts'
import { CLIENTS, type Idp, startIdp } from '../harness/idp.ts'
import { faultIn, type Judge, judgeOf } from '../harness/idp-judge.ts'

let idp: Idp
let judge: Judge

beforeAll(async () => {
  idp = await startIdp()
  judge = judgeOf(idp)
})
afterAll(() => idp.stop())
beforeEach(() => judge.reset())

const expected = () => ({ issuer: idp.issuer, clientId: CLIENTS.cli })
const idClaims = (changes: Record<string, unknown> = {}) =>
  judge.claims({ aud: CLIENTS.cli, client_id: undefined, ...changes })
const idFault = (text: string, more: { nonce?: string } = {}): Promise<string> =>
  faultIn(judge.verifier.verifyIdToken(text, { ...expected(), ...more }), text)

test('what the provider gives is good', async () => {
  const token = await idp.idToken({ client: CLIENTS.cli, nonce: 'n-1' })
  const verified = await judge.verifier.verifyIdToken(token, { ...expected(), nonce: 'n-1' })
  expect(verified).toMatchObject({ issuer: idp.issuer, subject: 'alice', claims: { groups: ['Staff'] } })
  expect(await idFault(token, { nonce: 'n-2' })).toBe('unknown')
}) // biome-ignore format: long lines

test('of another client, or an access token', async () => {
  expect(await idFault(await idp.idToken({ client: CLIENTS.agent }))).toBe('wrong_audience')
  expect(await idFault(await idp.accessToken({ client: CLIENTS.cli }))).toBe('wrong_audience')
  expect(await idFault(await idp.sign(idClaims()))).toBe('unknown')
})

test.each<[string, Record<string, unknown>, string]>([
  ['nothing', {}, 'good'],
  ['azp of another client', { azp: CLIENTS.other }, 'unknown'],
  ['audiences without azp', { aud: [CLIENTS.cli, 'x'] }, 'unknown'],
  ['audiences with azp', { aud: [CLIENTS.cli, 'x'], azp: CLIENTS.cli }, 'good'],
  ['another issuer', { iss: 'https://x.test' }, 'unknown'],
  ['a subject with a NUL', { sub: 'a\u0000' }, 'unknown'],
  ['expired', { exp: 1 }, 'expired'],
  // Access tokens whose audience is our own client, as some providers make them.
  ['client_id of another client', { client_id: CLIENTS.other }, 'unknown'],
  ['client_id that is no text', { client_id: [CLIENTS.cli] }, 'unknown'],
  ['client_id of our own', { client_id: CLIENTS.cli }, 'good'],
  ['a scope', { scope: 'openid' }, 'unknown'],
  ['an empty scope', { scope: '' }, 'unknown'],
  ['a scope, as others spell it', { scp: ['openid'] }, 'unknown'],
  ['typ Bearer within', { typ: 'Bearer' }, 'unknown'],
  ['typ ID within', { typ: 'ID' }, 'good'],
  ['token_use access', { token_use: 'access' }, 'unknown'],
  ['token_use id', { token_use: 'id' }, 'good'],
])('%s', async (_what, changes, fault) => {
  expect(await idFault(await idp.sign(idClaims(changes), { typ: 'JWT' }))).toBe(fault)
})

test.each([
  [ID_TOKEN_AGE_MS_MAX / 1000 + JWT_TOLERANCE_SECONDS, 'good'],
  [ID_TOKEN_AGE_MS_MAX / 1000 + JWT_TOLERANCE_SECONDS + 1, 'expired'],
])('%i seconds old', async (age, fault) => {
  const iat = 1_000_000
  const token = await idp.sign(idClaims({ iat, exp: iat + 86_400 }), { typ: 'JWT' })
  judge.shiftMs = (iat + age) * 1000 - Date.now() + 100
  expect(await idFault(token)).toBe(fault)
})
