// Access tokens and ID tokens that are not what they claim: against a real provider, each row takes a good token and
// breaks one thing. The verifier alone; test/pdp/idp.test.ts does it through a PDP.
import { createSecretKey } from 'node:crypto'
import type { ServerResponse } from 'node:http'
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
import { TokenError } from '../../pdp/src/identity/token-error.ts'
import { createTokenVerifier, type TokenVerifier } from '../../pdp/src/identity/verify-jwt.ts'
import { gatewayFile, type Identity } from '../../schemas/bundle.ts'
import {
  ID_TOKEN_AGE_MS_MAX,
  JWKS_AGE_MS_MAX,
  JWKS_BYTES_MAX,
  JWKS_COOLDOWN_MS,
  JWT_TOLERANCE_SECONDS,
  TOKEN_LENGTH_MAX,
} from '../../schemas/limits.ts'
import { AUDIENCE, CLIENTS, type Idp, startIdp } from '../harness/idp.ts'

let idp: Idp
let other: Idp
let identity: Identity
let shiftMs = 0
let verifier: TokenVerifier
let evilKey: JWK

const now = (): number => Date.now() + shiftMs
const clock = { now, monotonic: () => performance.now() + shiftMs }
const seconds = (): number => Math.floor(now() / 1000)

beforeAll(async () => {
  idp = await startIdp()
  other = await startIdp()
  evilKey = await exportJWK((await generateKeyPair('ES256', { extractable: true })).privateKey)
})
afterAll(async () => {
  await Promise.all([idp.stop(), other.stop()])
})
beforeEach(() => {
  shiftMs = 0
  idp.fault = undefined
  idp.asked.length = 0
  identity = settings()
  verifier = createTokenVerifier({ fetch, clock })
})

function settings(changes: object = {}, issuers: object[] = []): Identity {
  const one = {
    issuer: idp.issuer,
    audience: AUDIENCE,
    teams: { Staff: 'staff' },
    clients: { [CLIENTS.agent]: { agent: 'demo', servers: ['echo'] } },
    ...changes,
  }
  return gatewayFile.parse({ name: 'Test', identity: { issuers: [one, ...issuers] } }).identity
}

/** The claims of a good access token. */
function claims(changes: Record<string, unknown> = {}): Record<string, unknown> {
  const iat = seconds()
  const good = { iss: idp.issuer, sub: 'alice', aud: AUDIENCE, client_id: CLIENTS.agent, iat, exp: iat + 300 }
  const made = { ...good, ...changes }
  return Object.fromEntries(Object.entries(made).filter(([, value]) => value !== undefined))
} // biome-ignore format: long line

async function faultOf(text: string, of: Identity = identity): Promise<string> {
  return await verifier.verifyAccessToken(text, of).then(
    () => 'good',
    (error: unknown) => {
      if (!(error instanceof TokenError)) throw error
      const parts = text.split('.').filter((part) => part.length > 8)
      expect(parts.some((part) => `${error.message} ${String(error.cause)}`.includes(part))).toBe(
        false,
      )
      return error.fault
    },
  )
}

test('what the provider gives is good, and says who it is', async () => {
  const token = await idp.accessToken()
  expect(await verifier.verifyAccessToken(token, identity)).toMatchObject({
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
  const said = { email: 'alice@example.test', email_verified: true, ...changes }
  const token = await idp.sign(claims({ sub: 'auth0|7', ...said }))
  const of = settings({ userClaim })
  if (user === 'unknown') expect(await faultOf(token, of)).toBe('unknown')
  else
    expect(await verifier.verifyAccessToken(token, of)).toMatchObject({ user, subject: 'auth0|7' })
})

test.each([
  [['Staff', 'Staff', 'Others', 7, 'toString', '__proto__'], ['staff']],
  ['Staff', ['staff']],
  [undefined, []],
  [{ Staff: true }, []],
])('groups %o are the teams %o', async (groups, teams) => {
  const token = await idp.sign(claims({ groups }))
  expect((await verifier.verifyAccessToken(token, identity)).teams).toEqual(teams)
})

test('a client that acts for nobody', async () => {
  const robot = (headless: boolean) => {
    return settings({
      clients: { [CLIENTS.robot]: { agent: 'nightly', servers: ['echo'], headless } },
    })
  }
  const token = await idp.clientCredentials()
  const nobody = { user: null, teams: [], settings: { agent: 'nightly' } }
  expect(await verifier.verifyAccessToken(token, robot(true))).toMatchObject(nobody)
  expect(await faultOf(token, robot(false))).toBe('client_not_allowed')
})

test('a scope that the token does not name is not there', async () => {
  const token = await idp.accessToken({ scope: 'openid mcp:read' })
  expect((await verifier.verifyAccessToken(token, identity)).scopes).toEqual(['mcp:read'])
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
    expect(await faultOf(await idp.sign(claims(changes)))).toBe(fault)
  })

  test.each([
    [JWT_TOLERANCE_SECONDS - 1, 'good'],
    [JWT_TOLERANCE_SECONDS, 'expired'],
  ])('%i seconds after its expiry', async (after, fault) => {
    const token = await idp.sign(claims({ iat: 1_000_000, exp: 1_000_300 }))
    shiftMs = (1_000_300 + after) * 1000 - Date.now()
    expect(await faultOf(token)).toBe(fault)
  })

  test.each([
    [{ nbf: 1_000_300 }, JWT_TOLERANCE_SECONDS, 'good'],
    [{ nbf: 1_000_300 }, JWT_TOLERANCE_SECONDS + 1, 'unknown'],
    [{ iat: 1_000_300 }, JWT_TOLERANCE_SECONDS, 'good'],
    [{ iat: 1_000_300 }, JWT_TOLERANCE_SECONDS + 1, 'unknown'],
  ])('%o, %i seconds too early', async (changes, before, fault) => {
    const token = await idp.sign(claims({ iat: 1_000_000, exp: 1_001_000, ...changes }))
    shiftMs = (1_000_300 - before) * 1000 - Date.now() + 100
    expect(await faultOf(token)).toBe(fault)
  })

  test('a token that was good is judged for its times again', async () => {
    const token = await idp.sign(claims({ exp: seconds() + 60 }))
    expect(await faultOf(token)).toBe('good')
    shiftMs = (60 + JWT_TOLERANCE_SECONDS + 1) * 1000
    expect(await faultOf(token)).toBe('expired')
    shiftMs = -(JWT_TOLERANCE_SECONDS + 2) * 1000
    expect(await faultOf(token)).toBe('unknown')
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
    expect(await faultOf(await idp.sign(claims(), header))).toBe(fault)
  })

  test('alg none, in all its spellings', async () => {
    const payload = base64url.encode(JSON.stringify(claims()))
    for (const alg of ['none', 'None', 'NONE', 'nOnE', '']) {
      const header = base64url.encode(JSON.stringify({ alg, typ: 'at+jwt', kid: idp.key().kid }))
      expect(await faultOf(`${header}.${payload}.`)).toBe('unknown')
    }
  })

  test('HS256 with the public key as the secret', async () => {
    const { d: _, ...jwk } = idp.key()
    const spki = await exportSPKI((await importJWK({ ...jwk, ext: true }, 'ES256', { extractable: true })) as never)
    for (const secret of [spki, spki.trimEnd(), JSON.stringify(jwk), String(jwk.x)]) {
      const jwt = new SignJWT(claims()).setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid: String(jwk.kid) })
      expect(await faultOf(await jwt.sign(createSecretKey(Buffer.from(secret))))).toBe('unknown')
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
    expect(await faultOf(await idp.sign(claims(), { alg, kid: 'new' }, { ...key, alg }))).toBe(
      'unknown',
    )
  })

  test('a key of its own, in the header or behind a URL', async () => {
    const { d: _, ...jwk } = evilKey
    const headers: object[] = [{}, { jwk }, { jku: 'http://127.0.0.1:1/k' }, { x5u: 'http://127.0.0.1:1/x' }, { x5c: ['AAAA'] }]
    for (const header of headers)
      for (const kid of [undefined, idp.key().kid])
        expect(await faultOf(await idp.sign(claims(), { ...(kid === undefined ? {} : { kid }), ...header }, evilKey))).toBe('unknown')
  }) // biome-ignore format: long lines

  test('a critical header that nobody knows', async () => {
    const [, payload] = (await idp.sign(claims())).split('.')
    const header = { alg: 'ES256', kid: idp.key().kid, crit: ['exp'], exp: 1 }
    const jwt = `${base64url.encode(JSON.stringify(header))}.${payload}.AAAA`
    expect(await faultOf(jwt)).toBe('unknown')
  })
})

describe('what is no token', () => {
  test.each([
    '', '.', '..', 'a.b.c', 'ä.ä.ä', '....', 'e30.e30.e30', `${'a'.repeat(50)}.${'b'.repeat(50)}`,
    `${base64url.encode('[]')}.${base64url.encode('[]')}.x`, `${base64url.encode('null')}.${base64url.encode('null')}.x`,
  ])('%s', async (text) => {
    expect(await faultOf(text)).toBe('unknown')
  }) // biome-ignore format: long lines

  test('one character, flipped', async () => {
    const token = await idp.accessToken()
    const flip = (at: number) => token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1)
    for (const at of [0, 20, token.indexOf('.') + 9, token.length - 40])
      expect(await faultOf(flip(at))).toBe('unknown')
  }) // biome-ignore format: long lines

  test('as long as may be, and one more', async () => {
    const make = (fill: number) => idp.sign(claims({ fill: 'x'.repeat(fill) }))
    const spare = (await make(1)).length
    let fill = Math.floor(((TOKEN_LENGTH_MAX - spare) * 3) / 4)
    while ((await make(fill)).length < TOKEN_LENGTH_MAX) fill++
    expect((await make(fill)).length).toBe(TOKEN_LENGTH_MAX)
    expect(await faultOf(await make(fill))).toBe('good')
    expect(await faultOf(await make(fill + 1))).toBe('unknown')
    expect(await faultOf('x'.repeat(1_000_000))).toBe('unknown')
  })
})

describe('another token of the same provider', () => {
  test('an ID token is no access token', async () => {
    expect(await faultOf(await idp.idToken())).toBe('wrong_audience')
    // Even where the provider names the gateway in both.
    const both = (more: object) => idp.sign(claims({ azp: CLIENTS.agent, ...more }), { typ: 'JWT' })
    expect(await faultOf(await both({}))).toBe('good')
    for (const more of [{ nonce: 'n' }, { at_hash: 'h' }, { c_hash: 'h' }, { typ: 'ID' }])
      expect(await faultOf(await both(more))).toBe('unknown')
  })

  test('gateway.yaml may not name a client as the audience', () => {
    const audience = { audience: CLIENTS.agent }
    expect(() => settings(audience)).toThrow(/ID tokens of that client/)
  })

  test('an opaque access token is none of ours', async () => {
    expect(await faultOf(await idp.accessToken({ audience: null }))).toBe('unknown')
  })

  test('of the gateway of another deployment', async () => {
    const token = await idp.accessToken({ audience: 'https://staging-gateway.test/' })
    expect(await faultOf(token)).toBe('wrong_audience')
  })
})

describe('another provider', () => {
  test('that gateway.yaml does not list', async () => {
    expect(await faultOf(await other.accessToken())).toBe('unknown')
    expect(other.asked).not.toContain('GET /jwks')
  })

  test('that signs in the name of this one, with a key id of this one', async () => {
    const token = await other.sign(claims(), { kid: idp.key().kid ?? '' })
    expect(await faultOf(token)).toBe('unknown')
  })

  test('mix-up: both are listed, and one signs for the other', async () => {
    const clients = { [CLIENTS.agent]: { agent: 'demo', servers: ['echo'] } }
    const both = settings({}, [{ issuer: other.issuer, audience: AUDIENCE, clients }])
    expect(await faultOf(await other.accessToken(), both)).toBe('good')
    expect(await faultOf(await other.sign(claims()), both)).toBe('unknown')
    expect(await faultOf(await idp.sign(claims({ iss: other.issuer })), both)).toBe('unknown')
    expect(await faultOf(await idp.sign(claims({ iss: `${idp.issuer}/` })), both)).toBe('unknown')
    expect(await faultOf(await idp.sign(claims({ iss: [idp.issuer] })), both)).toBe('unknown')
  })

  test('whose discovery document is that of another', async () => {
    idp.fault = (request, response) => {
      if (request.url !== '/.well-known/openid-configuration') return undefined
      const document = { issuer: other.issuer, jwks_uri: `${other.issuer}/jwks` }
      response.setHeader('content-type', 'application/json').end(JSON.stringify(document))
      return 'answered'
    }
    expect(await faultOf(await other.sign(claims()))).toBe('unknown')
  })
})

describe('keys', () => {
  const jwksAsked = () => idp.asked.filter((one) => one === 'GET /jwks').length

  test('are fetched once for many tokens, at the same time and later', async () => {
    const tokens = await Promise.all([1, 2, 3].map(() => idp.accessToken()))
    expect(await Promise.all(tokens.map((token) => faultOf(token)))).toEqual([
      'good',
      'good',
      'good',
    ])
    expect(await faultOf(await idp.accessToken())).toBe('good')
    expect(jwksAsked()).toBe(1)
  })

  test('rotate without a restart; a token of the old ones is good until the keys are looked at again', async () => {
    const old = await idp.accessToken()
    expect(await faultOf(old)).toBe('good')
    await idp.rotateKeys()
    const fresh = await idp.accessToken()
    expect(await faultOf(fresh)).toBe('unknown') // We asked just now.
    expect(await faultOf(old)).toBe('good')
    shiftMs = JWKS_COOLDOWN_MS
    expect(await faultOf(fresh)).toBe('good')
    expect(await faultOf(old)).toBe('unknown')
  })

  test('a flood of unknown key ids asks the provider once a cooldown', async () => {
    expect(await faultOf(await idp.accessToken())).toBe('good')
    const flood = async () => {
      for (let i = 0; i < 20; i++)
        await faultOf(await idp.sign(claims(), { kid: `k${i}` }, evilKey))
    }
    await flood()
    expect(jwksAsked()).toBe(1)
    shiftMs = JWKS_COOLDOWN_MS
    await flood()
    expect(jwksAsked()).toBe(2)
  })

  test('a provider that is down: what was verified stays good, what is new is refused, nobody hammers it', async () => {
    const [known, fresh] = [await idp.accessToken(), await idp.accessToken()]
    const lives = settings()
    expect(await faultOf(known, lives)).toBe('good')
    idp.fault = (_request, response) => {
      response.socket?.destroy()
      return 'answered'
    }
    shiftMs = 60_000
    expect(await faultOf(known, lives)).toBe('good')
    expect(await faultOf(fresh, lives)).toBe('good') // Its key is known.
    const long = await idp.sign(claims({ exp: seconds() + 3600 }))
    expect(await faultOf(long, lives)).toBe('good')
    idp.asked.length = 0
    shiftMs = JWKS_AGE_MS_MAX + 60_000
    for (let i = 0; i < 5; i++) expect(await faultOf(long, lives)).toBe('unknown')
    expect(idp.asked.length).toBe(1)
    idp.fault = undefined
    shiftMs += JWKS_COOLDOWN_MS
    expect(await faultOf(long, lives)).toBe('good')
  })

  test('are renewed before they are too old', async () => {
    const token = await idp.sign(claims({ exp: seconds() + 3600 }))
    expect(await faultOf(token)).toBe('good')
    shiftMs = JWKS_AGE_MS_MAX / 2
    expect(await faultOf(token)).toBe('good')
    await expect.poll(jwksAsked).toBe(2)
  })

  test('that come by a redirect, or as a flood, are none', async () => {
    const token = await idp.accessToken()
    const keys = await (await fetch(`${idp.issuer}/jwks`)).text()
    const padded = keys.replace('{', `{"x":"${'x'.repeat(JWKS_BYTES_MAX)}",`)
    const answers: ((response: ServerResponse) => unknown)[] = [
      (response) => response.writeHead(302, { location: `${idp.issuer}/jwks?again` }).end(),
      (response) => response.end(padded),
      (response) => response.writeHead(500).end(keys),
      (response) => response.end('<html>'),
      (response) => response.end('null'),
      (response) => response.end('{"keys":[{"kty":"oct","k":"AAAA"}]}'),
    ]
    for (const answer of answers) {
      verifier = createTokenVerifier({ fetch, clock })
      idp.fault = (request, response) => {
        if (request.url !== '/jwks') return undefined
        answer(response)
        return 'answered'
      }
      expect(await faultOf(token)).toBe('unknown')
    }
  })

  test('other settings forget what was verified', async () => {
    const token = await idp.accessToken()
    expect(await faultOf(token)).toBe('good')
    expect(await faultOf(token, settings({ audience: 'https://new.test/' }))).toBe('wrong_audience')
    expect(await faultOf(token, settings({ clients: {} }))).toBe('client_not_allowed')
    expect(await faultOf(token, settings())).toBe('good')
  })
})

describe('ID tokens of operators', () => {
  const expected = () => ({ issuer: idp.issuer, clientId: CLIENTS.cli })
  const idClaims = (changes: Record<string, unknown> = {}) =>
    claims({ aud: CLIENTS.cli, client_id: undefined, ...changes })
  const idFault = async (text: string, more: { nonce?: string } = {}): Promise<string> => {
    return await verifier.verifyIdToken(text, { ...expected(), ...more }).then(
      () => 'good',
      (error: unknown) => (error instanceof TokenError ? error.fault : String(error)),
    )
  } // biome-ignore format: long lines

  test('what the provider gives is good', async () => {
    const token = await idp.idToken({ client: CLIENTS.cli, nonce: 'n-1' })
    const verified = await verifier.verifyIdToken(token, { ...expected(), nonce: 'n-1' })
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
  ])('%s', async (_what, changes, fault) => {
    expect(await idFault(await idp.sign(idClaims(changes), { typ: 'JWT' }))).toBe(fault)
  })

  test.each([
    [ID_TOKEN_AGE_MS_MAX / 1000 + JWT_TOLERANCE_SECONDS, 'good'],
    [ID_TOKEN_AGE_MS_MAX / 1000 + JWT_TOLERANCE_SECONDS + 1, 'expired'],
  ])('%i seconds old', async (age, fault) => {
    const iat = 1_000_000
    const token = await idp.sign(idClaims({ iat, exp: iat + 86_400 }), { typ: 'JWT' })
    shiftMs = (iat + age) * 1000 - Date.now() + 100
    expect(await idFault(token)).toBe(fault)
  })
})
