// Access tokens that are not what they claim: against a real provider, each row takes a good token and breaks one thing.
// The verifier alone; test/pdp/idp.test.ts does it through a PDP.
import { createSecretKey } from 'node:crypto'
import {
  base64url,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  importJWK,
  type JWK,
  SignJWT,
} from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { JWT_TOLERANCE_SECONDS, TOKEN_LENGTH_MAX } from '../../schemas/limits.ts'
import { AUDIENCE, CLIENTS, type Idp, startIdp } from '../harness/idp.ts'
import { type Judge, judgeOf } from '../harness/idp-judge.ts'

let idp: Idp
let judge: Judge
let other: Idp
let evilKey: JWK

beforeAll(async () => {
  idp = await startIdp()
  judge = judgeOf(idp)
  other = await startIdp()
  evilKey = await exportJWK((await generateKeyPair('ES256', { extractable: true })).privateKey)
})
afterAll(async () => {
  await Promise.all([idp.stop(), other.stop()])
})
beforeEach(() => judge.reset())

test('what the provider gives is good, and says who it is', async () => {
  const token = await idp.accessToken()
  expect(await judge.verifier.verifyAccessToken(token, judge.identity)).toMatchObject({
    issuer: idp.issuer,
    subject: 'alice',
    client: CLIENTS.agent,
    user: 'alice',
    teams: ['staff'],
    settings: { agent: 'demo', servers: ['echo'] },
    scopes: ['mcp:ask', 'mcp:destructive', 'mcp:read', 'mcp:write'],
  })
})

test.each([
  ['email', {}, 'alice@example.test'],
  ['email', { email_verified: false }, 'unknown'],
  ['email', { email_verified: 'true' }, 'unknown'],
  ['email', { email_verified: undefined }, 'unknown'],
  ['preferred_username', {}, 'unknown'],
  ['toString', {}, 'unknown'],
])('the user id of the claim %s, %o: %s', async (userClaim, changes, user) => {
  const email = { email: 'alice@example.test', email_verified: true, ...changes }
  const token = await idp.sign(judge.claims({ sub: 'auth0|7', ...email }))
  const of = judge.settings({ userClaim })
  const said = await judge.verifier.verifyAccessToken(token, of).catch(({ fault }) => fault)
  expect(said.user ?? said).toBe(user)
})

test.each([
  [['Staff', 'Staff', 'Others', 7, 'toString', '__proto__'], ['staff']],
  ['Staff', ['staff']],
  [undefined, []],
  [{ Staff: true }, []],
])('groups %o are the teams %o', async (groups, teams) => {
  const token = await idp.sign(judge.claims({ groups }))
  expect((await judge.verifier.verifyAccessToken(token, judge.identity)).teams).toEqual(teams)
})

const robot = (headless: boolean) => {
  const clients = { [CLIENTS.robot]: { agent: 'nightly', servers: ['echo'], headless } }
  return judge.settings({ clients })
}

test('a client that acts for nobody', async () => {
  const token = await idp.clientCredentials()
  const nobody = { user: null, teams: [], settings: { agent: 'nightly' } }
  expect(await judge.verifier.verifyAccessToken(token, robot(true))).toMatchObject(nobody)
  expect(await judge.faultOf(token, robot(false))).toBe('client_not_allowed')
})

test('a scope that the token does not name is not there', async () => {
  const token = await idp.accessToken({ scope: 'openid mcp:read' })
  expect((await judge.verifier.verifyAccessToken(token, judge.identity)).scopes).toEqual([
    'mcp:read',
  ])
})

describe('signed by the provider, and wrong', () => {
  const rows: [string, Record<string, unknown>, string][] = [
    ['nothing', {}, 'good'],
    ['another audience', { aud: 'https://other-gateway.test/' }, 'wrong_audience'],
    ['a prefix of the audience', { aud: AUDIENCE.slice(0, -1) }, 'wrong_audience'],
    ['several audiences, ours among them', { aud: ['https://x.test', AUDIENCE] }, 'good'],
    ['no audience', { aud: undefined }, 'wrong_audience'],
    ['expired', { exp: 1 }, 'expired'],
    ['no expiry', { exp: undefined }, 'unknown'],
    ['an expiry that is text', { exp: '9999999999' }, 'unknown'],
    ['an expiry beyond all dates', { exp: 1e300 }, 'good'],
    ['no iat', { iat: undefined }, 'unknown'],
    ['an iat before all dates', { iat: -1e300 }, 'good'],
    ['an iat to come', { iat: 4e9 }, 'unknown'],
    ['an nbf to come', { nbf: 4e9 }, 'unknown'],
    ['no subject', { sub: undefined }, 'unknown'],
    ['an empty subject', { sub: '' }, 'unknown'],
    ['a subject with a NUL', { sub: 'a\u0000b' }, 'unknown'],
    ['a subject that is half a character', { sub: 'a\ud800' }, 'unknown'],
    ['a subject that turns the line', { sub: 'a\u202eb' }, 'unknown'],
    ['a subject that is no user id', { sub: 'auth0|alice' }, 'unknown'],
    ['a subject that is a number', { sub: 7 }, 'unknown'],
    ['no client', { client_id: undefined }, 'unknown'],
    ['an unlisted client', { client_id: CLIENTS.other }, 'client_not_allowed'],
    ['a client named as every object has one', { client_id: 'constructor' }, 'client_not_allowed'],
    ['a client named __proto__', { client_id: '__proto__' }, 'client_not_allowed'],
    ['an unlisted azp', { client_id: undefined, azp: CLIENTS.other }, 'client_not_allowed'],
    ['a listed azp', { client_id: undefined, azp: CLIENTS.agent }, 'good'],
    ['azp and client_id apart', { azp: CLIENTS.other }, 'client_not_allowed'],
    [
      'client_id and azp apart',
      { client_id: CLIENTS.other, azp: CLIENTS.agent },
      'client_not_allowed',
    ],
    ['a list of clients', { client_id: [CLIENTS.agent] }, 'unknown'],
    ['the client for itself', { sub: CLIENTS.agent }, 'client_not_allowed'],
  ]
  test.each(rows)('%s', async (_what, changes, fault) => {
    expect(await judge.faultOf(await idp.sign(judge.claims(changes)))).toBe(fault)
  })

  test.each([
    [JWT_TOLERANCE_SECONDS - 1, 'good'],
    [JWT_TOLERANCE_SECONDS, 'expired'],
  ])('%i seconds after its expiry', async (after, fault) => {
    const token = await idp.sign(judge.claims({ iat: 1_000_000, exp: 1_000_300 }))
    judge.shiftMs = (1_000_300 + after) * 1000 - Date.now()
    expect(await judge.faultOf(token)).toBe(fault)
  })

  test.each([
    [{ nbf: 1_000_300 }, JWT_TOLERANCE_SECONDS, 'good'],
    [{ nbf: 1_000_300 }, JWT_TOLERANCE_SECONDS + 1, 'unknown'],
    [{ iat: 1_000_300 }, JWT_TOLERANCE_SECONDS, 'good'],
    [{ iat: 1_000_300 }, JWT_TOLERANCE_SECONDS + 1, 'unknown'],
  ])('%o, %i seconds too early', async (changes, before, fault) => {
    const token = await idp.sign(judge.claims({ iat: 1_000_000, exp: 1_001_000, ...changes }))
    judge.shiftMs = (1_000_300 - before) * 1000 - Date.now() + 100
    expect(await judge.faultOf(token)).toBe(fault)
  })

  test('a token that was good is judged for its times again', async () => {
    const token = await idp.sign(judge.claims({ exp: judge.seconds() + 60 }))
    expect(await judge.faultOf(token)).toBe('good')
    judge.shiftMs = (60 + JWT_TOLERANCE_SECONDS + 1) * 1000
    expect(await judge.faultOf(token)).toBe('expired')
    judge.shiftMs = -(JWT_TOLERANCE_SECONDS + 2) * 1000
    expect(await judge.faultOf(token)).toBe('unknown')
  })
})

describe('the header', () => {
  const rows: [string, object, string][] = [
    ['JWT', { typ: 'JWT' }, 'good'],
    ['application/at+jwt', { typ: 'application/AT+JWT' }, 'good'],
    ['none', { typ: undefined }, 'good'],
    ['a logout token', { typ: 'logout+jwt' }, 'unknown'],
    ['a security event', { typ: 'secevent+jwt' }, 'unknown'],
    ['a jku beside the right key', { jku: 'http://127.0.0.1:1/' }, 'good'],
    ['the id of no key', { kid: 'nobody' }, 'unknown'],
    ['an id that is a path', { kid: '../../../../dev/null' }, 'unknown'],
    ['an id that is SQL', { kid: "' or 1=1 --" }, 'unknown'],
    ['another algorithm than its key has', { kid: 'RS256-1' }, 'unknown'],
  ]
  test.each(rows)('%s', async (_what, header, fault) => {
    expect(await judge.faultOf(await idp.sign(judge.claims(), header))).toBe(fault)
  })

  test('alg none, in all its spellings', async () => {
    const payload = base64url.encode(JSON.stringify(judge.claims()))
    for (const alg of ['none', 'None', 'NONE', 'nOnE', '']) {
      const header = base64url.encode(JSON.stringify({ alg, typ: 'at+jwt', kid: idp.key().kid }))
      expect(await judge.faultOf(`${header}.${payload}.`)).toBe('unknown')
    }
  })

  test('HS256 with the public key as the secret', async () => {
    const { d: _, ...jwk } = idp.key()
    const spki = await exportSPKI((await importJWK({ ...jwk, ext: true }, 'ES256', { extractable: true })) as never)
    for (const secret of [spki, spki.trimEnd(), JSON.stringify(jwk), String(jwk.x)]) {
      const jwt = new SignJWT(judge.claims()).setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid: String(jwk.kid) })
      expect(await judge.faultOf(await jwt.sign(createSecretKey(Buffer.from(secret))))).toBe('unknown')
    }
  }) // biome-ignore format: long lines

  test('an algorithm that is not on our list, though the provider has the key', async () => {
    const alg = 'ML-DSA-44'
    const pair = await generateKeyPair(alg, { extractable: true })
    const keys = [{ ...(await exportJWK(pair.publicKey)), alg, kid: 'new' }]
    idp.fault = (request, response) => {
      if (request.url !== '/jwks') return undefined
      response.end(JSON.stringify({ keys }))
      return 'answered'
    }
    const key = await exportJWK(pair.privateKey)
    expect(
      await judge.faultOf(await idp.sign(judge.claims(), { alg, kid: 'new' }, { ...key, alg })),
    ).toBe('unknown')
  })

  test('a key of its own, in the header or behind a URL', async () => {
    const { d: _, ...jwk } = evilKey
    const headers: object[] = [{}, { jwk }, { jku: 'http://127.0.0.1:1/k' }, { x5u: 'http://127.0.0.1:1/x' }, { x5c: ['AAAA'] }]
    for (const header of headers)
      for (const kid of [undefined, idp.key().kid])
        expect(await judge.faultOf(await idp.sign(judge.claims(), { ...(kid === undefined ? {} : { kid }), ...header }, evilKey))).toBe('unknown')
  }) // biome-ignore format: long lines

  test('a critical header that nobody knows', async () => {
    const [, payload] = (await idp.sign(judge.claims())).split('.')
    const header = { alg: 'ES256', kid: idp.key().kid, crit: ['exp'], exp: 1 }
    const jwt = `${base64url.encode(JSON.stringify(header))}.${payload}.AAAA`
    expect(await judge.faultOf(jwt)).toBe('unknown')
  })
})

const make = (fill: number) => idp.sign(judge.claims({ fill: 'x'.repeat(fill) }))

describe('what is no token', () => {
  test.each([
    '', '.', '..', 'a.b.c', 'ä.ä.ä', '....', 'e30.e30.e30', `${'a'.repeat(50)}.${'b'.repeat(50)}`,
    `${base64url.encode('[]')}.${base64url.encode('[]')}.x`, `${base64url.encode('null')}.${base64url.encode('null')}.x`,
  ])('%s', async (text) => {
    expect(await judge.faultOf(text)).toBe('unknown')
  }) // biome-ignore format: long lines

  test('one character, flipped', async () => {
    const token = await idp.accessToken()
    const flip = (at: number) => token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1)
    for (const at of [0, 20, token.indexOf('.') + 9, token.length - 40])
      expect(await judge.faultOf(flip(at))).toBe('unknown')
  }) // biome-ignore format: long lines

  test('as long as may be, and one more', async () => {
    const spare = (await make(1)).length
    let fill = Math.floor(((TOKEN_LENGTH_MAX - spare) * 3) / 4)
    while ((await make(fill)).length < TOKEN_LENGTH_MAX) fill++
    expect((await make(fill)).length).toBe(TOKEN_LENGTH_MAX)
    expect(await judge.faultOf(await make(fill))).toBe('good')
    expect(await judge.faultOf(await make(fill + 1))).toBe('unknown')
    expect(await judge.faultOf('x'.repeat(1_000_000))).toBe('unknown')
  })
})

describe('another token of the same provider', () => {
  test('an ID token is no access token', async () => {
    expect(await judge.faultOf(await idp.idToken())).toBe('wrong_audience')
    // Even where the provider names the gateway in both.
    const both = (more: object) =>
      idp.sign(judge.claims({ azp: CLIENTS.agent, ...more }), { typ: 'JWT' })
    expect(await judge.faultOf(await both({}))).toBe('good')
    for (const more of [{ nonce: 'n' }, { at_hash: 'h' }, { c_hash: 'h' }, { typ: 'ID' }])
      expect(await judge.faultOf(await both(more))).toBe('unknown')
  })

  test('gateway.yaml may not name a client as the audience', () => {
    const audience = { audience: CLIENTS.agent }
    expect(() => judge.settings(audience)).toThrow(/ID tokens of that client/)
  })

  test('an opaque access token is none of ours', async () => {
    expect(await judge.faultOf(await idp.accessToken({ audience: null }))).toBe('unknown')
  })

  test('of the gateway of another deployment', async () => {
    const token = await idp.accessToken({ audience: 'https://staging-gateway.test/' })
    expect(await judge.faultOf(token)).toBe('wrong_audience')
  })
})

describe('another provider', () => {
  test('that gateway.yaml does not list', async () => {
    expect(await judge.faultOf(await other.accessToken())).toBe('unknown')
    expect(other.asked).not.toContain('GET /jwks')
  })

  test('that signs in the name of this one, with a key id of this one', async () => {
    const token = await other.sign(judge.claims(), { kid: idp.key().kid ?? '' })
    expect(await judge.faultOf(token)).toBe('unknown')
  })

  test('mix-up: both are listed, and one signs for the other', async () => {
    const clients = { [CLIENTS.agent]: { agent: 'demo', servers: ['echo'] } }
    const both = judge.settings({}, [{ issuer: other.issuer, audience: AUDIENCE, clients }])
    expect(await judge.faultOf(await other.accessToken(), both)).toBe('good')
    expect(await judge.faultOf(await other.sign(judge.claims()), both)).toBe('unknown')
    expect(await judge.faultOf(await idp.sign(judge.claims({ iss: other.issuer })), both)).toBe(
      'unknown',
    )
    expect(await judge.faultOf(await idp.sign(judge.claims({ iss: `${idp.issuer}/` })), both)).toBe(
      'unknown',
    )
    expect(await judge.faultOf(await idp.sign(judge.claims({ iss: [idp.issuer] })), both)).toBe(
      'unknown',
    )
  })

  test('whose discovery document is that of another', async () => {
    idp.fault = (request, response) => {
      if (request.url !== '/.well-known/openid-configuration') return undefined
      const document = { issuer: other.issuer, jwks_uri: `${other.issuer}/jwks` }
      response.setHeader('content-type', 'application/json').end(JSON.stringify(document))
      return 'answered'
    }
    expect(await judge.faultOf(await other.sign(judge.claims()))).toBe('unknown')
  })
})
