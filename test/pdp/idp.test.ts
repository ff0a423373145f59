// Who comes with an access token of a company's provider: users, teams, grants, all through a real provider and a PDP.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { GRANT_AGE_MS_MAX, JWKS_COOLDOWN_MS, JWT_TOLERANCE_SECONDS } from '../../schemas/limits.ts'
import { AUDIENCE, CLIENTS, type Idp, startIdp } from '../harness/idp.ts'
import { type IdpPdp, issuerOf, startIdpPdp } from '../harness/idp-pdp.ts'

const UUID = /^[0-9a-f-]{36}$/
let it: IdpPdp
let idp: Idp
let other: Idp
let people = 0

beforeAll(async () => {
  it = await startIdpPdp()
  idp = it.idp
  other = await startIdp()
})
afterAll(async () => {
  await Promise.all([it.stop(), other.stop()])
})
beforeEach(async () => {
  it.shiftMs = 0
  await it.configure([issuerOf(idp)])
})

/** Somebody new, in these groups. */
function person(groups: readonly string[] = ['Staff']): string {
  const subject = `person-${++people}`
  idp.accounts.set(subject, { groups })
  return subject
}

/** A token as if the provider had issued it so many seconds from now. */
async function tokenAt(seconds: number, subject: string, groups: readonly string[], more = {}) {
  const iat = Math.floor(Date.now() / 1000) + seconds
  const claims = { iss: idp.issuer, sub: subject, aud: AUDIENCE, client_id: CLIENTS.agent, groups }
  return await idp.sign({ ...claims, iat, exp: iat + 600, ...more })
}

/** The agent's client, for `echo` unless it says otherwise. */
function agentWith(changes: object): object {
  return { clients: { [CLIENTS.agent]: { agent: 'demo', servers: ['echo'], ...changes } } }
}

async function expire(grant: string): Promise<void> {
  const past = "update grants set expires = now() - interval '1 minute' where id = $1"
  await it.pdp.store.sql.query(past, [grant])
  await new Promise((resolve) => setTimeout(resolve, GRANT_AGE_MS_MAX))
}

async function count(table: string): Promise<number> {
  const [row] = await it.pdp.store.sql.query(`select count(*)::int as n from ${table}`)
  return Number(row?.['n'])
}

describe('the first token of a person', () => {
  test('makes user and grant, once', async () => {
    const subject = person()
    const token = await idp.accessToken({ account: subject })
    const grant = await it.identify(token)
    expect(grant).toMatch(UUID)
    expect(await it.shows(token)).toBe('echo')
    expect(await it.showsGrant(grant)).toBe('echo')
    expect(await it.identify(await idp.accessToken({ account: subject }))).toBe(grant)
    expect((await it.order('GET', `users/${subject}`)).json).toMatchObject({
      claimTeams: ['staff'],
      teams: [],
      link: { issuer: idp.issuer, subject, vouched: false },
      grants: 1,
    })
    expect((await it.order('GET', `grants/${grant}`)).json).toMatchObject({
      user: subject,
      agent: 'demo',
      servers: ['echo', 'twin'],
      state: 'active',
      tokenLast4: null,
      client: { issuer: idp.issuer, subject, client: CLIENTS.agent },
    })
  })

  test('also when it comes many times at once', async () => {
    const subject = person()
    const tokens = await Promise.all([1, 2, 3].map(() => idp.accessToken({ account: subject })))
    const [before, grants] = [await count('grants'), new Set<string>()]
    const asked = [...tokens, ...tokens, ...tokens].map((token) => it.identify(token))
    for (const grant of await Promise.all(asked)) grants.add(grant)
    expect([grants.size, (await count('grants')) - before]).toEqual([1, 1])
  })

  test('and so it is for many people who come at once', async () => {
    const tokens = await Promise.all(
      Array.from({ length: 40 }, () => tokenAt(-1, person(), ['Staff'])),
    )
    const known = await idp.accessToken({ account: person() })
    const shows = it.shows(known)
    const grants = await Promise.all(tokens.map((token) => it.identify(token)))
    expect(new Set(grants).size).toBe(40)
    expect(grants.filter((grant) => !UUID.test(grant))).toEqual([])
    expect([await shows, await it.shows(known)]).toEqual(['echo', 'echo'])
  })

  test('does not where gateway.yaml says that an admin does', async () => {
    const clients = { [CLIENTS.agent]: { agent: 'demo', servers: ['echo'], firstUse: false } }
    await it.configure([issuerOf(idp, { clients })])
    const subject = person()
    const token = await idp.accessToken({ account: subject })
    const before = await count('grants')
    expect([await it.identify(token), await it.shows(token)]).toEqual(['client_not_allowed', 'unauthenticated'])
    expect(await count('grants')).toBe(before)
    const wanted = { user: subject, issuer: idp.issuer, client: CLIENTS.agent, expiresInMs: 60_000 }
    const refused = await it.order('POST', 'client-grants', wanted)
    expect(refused).toMatchObject({ status: 400, json: { message: expect.stringMatching(/nobody vouched for them/) } })
    await it.order('PUT', `users/${subject}`, { link: { issuer: idp.issuer, subject } })
    const { status, json } = await it.order('POST', 'client-grants', wanted)
    expect({ status, json }).toMatchObject({ status: 201, json: { user: subject, servers: ['echo'] } })
    expect(await it.identify(token)).toBe(json['id'])
    await expire(String(json['id']))
    expect(await it.identify(token)).toBe('expired')
  }) // biome-ignore format: long lines
})

describe('a hot path', () => {
  test('asks the database nothing, and writes nothing for a newer token that says the same', async () => {
    const subject = person()
    const token = await tokenAt(-5, subject, ['Staff'])
    await it.shows(token)
    const [changes, rows] = [await count('identity_change'), await count('users')]
    await it.shows(await tokenAt(-4, subject, ['Staff']))
    expect([await count('identity_change'), await count('users')]).toEqual([changes, rows])
    const found = await it.pdp.store.sql.query('select claims_at from users where id = $1', [subject])
    expect(Number(found[0]?.['claims_at'])).toBeGreaterThan(Date.now() - 5_000)
  }) // biome-ignore format: long lines
})

describe('groups', () => {
  test('are teams for as long as the newest claims name them', async () => {
    const subject = person([])
    expect(await it.shows(await tokenAt(-60, subject, []))).toBe('no_permit')
    expect(await it.shows(await tokenAt(-50, subject, ['Staff']))).toBe('echo')
    const keeper = await tokenAt(-40, subject, ['Staff', 'Keepers'])
    expect(await it.shows(keeper)).toBe('echo secret')
    expect(await it.shows(await tokenAt(-30, subject, ['Unmapped', 'keepers']))).toBe('no_permit')
    // An older token is good still, and brings nothing back; a copy of it neither, nor one in between.
    expect(await it.shows(keeper)).toBe('no_permit')
    expect(await it.shows(await tokenAt(-40, subject, ['Staff', 'Keepers'], { jti: 'x' }))).toBe('no_permit')
    expect(await it.shows(await tokenAt(-31, subject, ['Staff']))).toBe('no_permit')
    expect(await it.shows(await tokenAt(-29, subject, ['Staff']))).toBe('echo')
  }) // biome-ignore format: long lines

  test('an older token brings nothing back, also after newer ones that said the same', async () => {
    const subject = person([])
    await it.shows(await tokenAt(-60, subject, []))
    await it.shows(await tokenAt(-40, subject, []))
    expect(await it.shows(await tokenAt(-50, subject, ['Staff']))).toBe('no_permit')
  })

  test('never take away what operators gave', async () => {
    const subject = person([])
    await it.shows(await tokenAt(-60, subject, []))
    await it.order('PUT', `users/${subject}`, {
      teams: ['staff'],
      link: { issuer: idp.issuer, subject },
    })
    expect(await it.shows(await tokenAt(-50, subject, ['Keepers']))).toBe('echo secret')
    expect(await it.shows(await tokenAt(-40, subject, []))).toBe('echo')
  })
})

describe('the end of a grant', () => {
  test('unlinking a user ends theirs at once; the same claims bring nothing back', async () => {
    const subject = person()
    const token = await idp.accessToken({ account: subject })
    expect([await it.identify(token), await it.shows(token)]).toEqual([expect.stringMatching(UUID), 'echo'])
    const { json } = await it.order('DELETE', `users/${subject}/link`)
    expect(json).toMatchObject({ link: null, claimTeams: [], grants: 0 })
    for (const one of [token, await idp.accessToken({ account: subject })])
      expect([await it.identify(one), await it.shows(one)]).toEqual(['unknown', 'unauthenticated'])
  }) // biome-ignore format: long lines

  test('a revoked one stays revoked, whatever fresh token comes, until an admin makes one', async () => {
    const subject = person()
    const token = await idp.accessToken({ account: subject })
    const grant = await it.identify(token)
    await it.order('DELETE', `grants/${grant}`)
    for (const one of [token, await idp.accessToken({ account: subject })])
      expect([await it.identify(one), await it.shows(one)]).toEqual(['unknown', 'unauthenticated'])
    const wanted = { user: subject, issuer: idp.issuer, client: CLIENTS.agent, expiresInMs: 60_000 }
    await it.order('PUT', `users/${subject}`, { link: { issuer: idp.issuer, subject } })
    const { json } = await it.order('POST', 'client-grants', wanted)
    expect(json['id']).not.toBe(grant)
    expect(await it.identify(token)).toBe(json['id'])
  })

  test('offboarding ends it at once, and for good', async () => {
    const subject = person()
    const token = await idp.accessToken({ account: subject })
    await it.identify(token)
    const { json } = await it.order('POST', `users/${subject}/offboard`)
    expect(json['grants']).toHaveLength(1)
    for (const one of [token, await idp.accessToken({ account: subject })])
      expect([await it.identify(one), await it.shows(one)]).toEqual(['unknown', 'unauthenticated'])
    const wanted = { user: subject, issuer: idp.issuer, client: CLIENTS.agent, expiresInMs: 60_000 }
    expect((await it.order('POST', 'client-grants', wanted)).status).toBe(400)
  })

  test('a disabled agent comes no more, and comes again when it is enabled', async () => {
    const token = await idp.accessToken({ account: person() })
    const grant = await it.identify(token)
    await it.order('PUT', 'agents/demo', { disabled: true })
    expect([await it.identify(token), await it.shows(token)]).toEqual(['unknown', 'unauthenticated'])
    await it.order('PUT', 'agents/demo', { disabled: false })
    expect(await it.identify(token)).toBe(grant)
  }) // biome-ignore format: long lines

  test('one that expired is renewed by the next use', async () => {
    const token = await idp.accessToken({ account: person() })
    const grant = await it.identify(token)
    await expire(grant)
    expect([await it.identify(token), await it.shows(token)]).toEqual([grant, 'echo'])
  })
})

describe('gateway.yaml', () => {
  test('a client taken out of it is refused at once; its grant lives for when it comes back', async () => {
    const token = await idp.accessToken({ account: person() })
    const grant = await it.identify(token)
    await it.configure([issuerOf(idp, { clients: {} })])
    expect([await it.identify(token), await it.shows(token)]).toEqual(['client_not_allowed', 'unauthenticated'])
    expect(await it.showsGrant(grant)).toBe('nothing')
    await it.configure([])
    expect([await it.identify(token), await it.showsGrant(grant)]).toEqual(['unknown', 'nothing'])
    await it.configure([issuerOf(idp)])
    expect(await it.identify(token)).toBe(grant)
  }) // biome-ignore format: long lines

  test('servers of the client and of the grant: both must have one', async () => {
    const token = await idp.accessToken({ account: person() })
    expect(await it.shows(token, 'twin')).toBe('')
    await it.configure([issuerOf(idp, agentWith({ firstUse: false }))])
    expect(await it.shows(token, 'twin')).toBe('server_not_granted')
    await it.configure([issuerOf(idp, agentWith({}))])
    expect(await it.shows(token, 'twin')).toBe('server_not_granted')
    // Where an admin makes grants, gateway.yaml widens none.
    await it.configure([issuerOf(idp, agentWith({ servers: ['echo', 'twin'], firstUse: false }))])
    expect(await it.shows(token, 'twin')).toBe('server_not_granted')
    await it.configure([issuerOf(idp)])
    expect(await it.shows(token, 'twin')).toBe('')
  })
})

describe('who it is', () => {
  test('a user id that is taken is not theirs; an admin links them', async () => {
    const subject = person()
    await it.order('PUT', `users/${subject}`, { teams: ['keepers'] })
    const token = await idp.accessToken({ account: subject })
    expect([await it.identify(token), await it.shows(token)]).toEqual(['unknown', 'unauthenticated'])
    await it.order('PUT', `users/${subject}`, { link: { issuer: idp.issuer, subject } })
    expect(await it.shows(token)).toBe('echo secret')
  }) // biome-ignore format: long lines

  test('one subject at two providers is two people', async () => {
    const subject = person()
    other.accounts.set(subject, { groups: ['Keepers'], claims: { nick: `${subject}.other` } })
    await it.configure([issuerOf(idp), issuerOf(other)])
    const [own, foreign] = [await idp.accessToken({ account: subject }), await other.accessToken({ account: subject })]
    const grant = await it.identify(own)
    expect(await it.identify(foreign)).toBe('unknown')
    await it.configure([issuerOf(idp), issuerOf(other, { userClaim: 'nick' })])
    const second = await it.identify(foreign)
    expect(second).toMatch(UUID)
    expect(second).not.toBe(grant)
    expect([await it.shows(own), await it.shows(foreign)]).toEqual(['echo', 'no_permit'])
  }) // biome-ignore format: long lines

  test('an e-mail address that changes is no other user', async () => {
    await it.configure([issuerOf(idp, { userClaim: 'email' })])
    const subject = `person-${++people}`
    idp.accounts.set(subject, { groups: ['Staff'], email: 'before@example.test' })
    const grant = await it.identify(await idp.accessToken({ account: subject }))
    idp.accounts.set(subject, { groups: ['Staff'], email: 'after@example.test' })
    expect(await it.identify(await idp.accessToken({ account: subject }))).toBe(grant)
    expect((await it.order('GET', `grants/${grant}`)).json['user']).toBe('before@example.test')
  })

  test('a headless client acts for nobody', async () => {
    const token = await idp.clientCredentials()
    const grant = await it.identify(token)
    expect(await it.shows(token)).toBe('no_permit')
    const { json } = await it.order('GET', `grants/${grant}`)
    expect(json).toMatchObject({ user: null, agent: 'nightly', servers: ['echo'], teams: [] })
    expect((await it.order('GET', `users/${CLIENTS.robot}`)).status).toBe(404)
  })

  test('the grant of a client that acted for nobody is not for a person', async () => {
    const subject = person()
    await it.configure([issuerOf(idp, agentWith({ headless: true }))])
    const token = await idp.accessToken({ account: subject })
    const grant = await it.identify(token)
    expect(await it.shows(token)).toBe('no_permit')
    await it.configure([issuerOf(idp, agentWith({ firstUse: false }))])
    expect([await it.identify(token), await it.showsGrant(grant)]).toEqual(['expired', 'nothing'])
  }) // biome-ignore format: long lines

  test('a token under the digest of another is nobody’s', async () => {
    const [mine, theirs] = [await tokenAt(-1, person(), []), await tokenAt(-1, person(), [])]
    for (const token of [mine, theirs]) expect(await it.identify(token)).toMatch(UUID)
    const { app, authorization } = it.pdp
    const answer = await app.request('/pep/v1/identify', {
      method: 'POST',
      headers: { ...authorization('pep'), 'content-type': 'application/json' },
      body: JSON.stringify({ token: await digest(mine), jwt: theirs, sourceIp: null }),
    })
    expect(await answer.json()).toEqual({ grant: null, fault: 'unknown' })
  })
})

async function digest(text: string): Promise<string> {
  const bytes = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
  return Buffer.from(bytes).toString('hex')
}

describe('time and keys', () => {
  test('expired, and both sides of the tolerance', async () => {
    const subject = person()
    const expiring = (seconds: number) => {
      const exp = Math.floor(Date.now() / 1000) + seconds
      return tokenAt(-600, subject, ['Staff'], { exp })
    }
    const late = await expiring(3 - JWT_TOLERANCE_SECONDS)
    expect(await it.shows(late)).toBe('echo')
    const tooLate = await expiring(-JWT_TOLERANCE_SECONDS)
    expect([await it.identify(tooLate), await it.shows(tooLate)]).toEqual([
      'expired',
      'unauthenticated',
    ])
    await expect.poll(() => it.shows(late), { timeout: 6_000 }).toBe('unauthenticated')
    expect(await it.identify(late)).toBe('expired')
  })

  test('keys rotate without a restart', async () => {
    const subject = person()
    await it.identify(await idp.accessToken({ account: subject }))
    await idp.rotateKeys()
    it.shiftMs = JWKS_COOLDOWN_MS
    expect(await it.identify(await idp.accessToken({ account: subject }))).toMatch(UUID)
  })

  test('a provider that is down denies its own, and nobody else', async () => {
    const down = await startIdp()
    await it.configure([issuerOf(idp), issuerOf(down)])
    const [own, foreign] = [await idp.accessToken({ account: person() }), await down.accessToken()]
    await down.stop()
    expect([await it.identify(foreign), await it.shows(foreign)]).toEqual(['unknown', 'unauthenticated'])
    expect(await it.shows(own)).toBe('echo')
  }) // biome-ignore format: long lines
})
