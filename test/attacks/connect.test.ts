// Attacks on connecting an account: forged, replayed and swapped steps, a lying provider, pages that would show or send
// somebody anything. Nothing may be kept, no code exchanged, nothing told.
import { randomBytes } from 'node:crypto'
import { Writable } from 'node:stream'
import { exportJWK, generateKeyPair } from 'jose'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openStepSeal } from '../../pdp/src/credentials/oauth/steps.ts'
import {
  type Browser,
  type Connecting,
  csrfOf,
  type Page,
  PDP_URL,
  startConnecting,
} from '../harness/connecting.ts'
import { CLIENTS } from '../harness/idp.ts'

let it: Connecting
let logged = ''
const log = pino({ level: 'trace' }, new Writable({
  write(chunk, _encoding, done) {
    logged += String(chunk)
    done()
  },
})) // biome-ignore format: one stream
beforeAll(async () => {
  it = await startConnecting({ log })
  it.idp.accounts.set('bob', {})
  await it.link('alice')
  await it.link('bob')
})
afterAll(() => it.stop())
beforeEach(async () => {
  logged = ''
  it.as.lie = {}
  it.as.fault = undefined
  it.idp.fault = undefined
  it.as.tokenRequests.length = 0
  await it.forget()
  await declare({})
})

let changes = 0
/** Each has metadata of its own: nothing of the test before is remembered. */
const declare = (more: object, url = 'https://everything.test/mcp'): Promise<void> =>
  it.declare('everything', more, `${url}?${++changes}`)

const LINK = '/connect/everything'
const COOKIE = '__Host-cedargate-connect'

/** What a step ended with, and what came of it. */
async function endOf(page: Page) {
  const { status } = page
  return { status, kept: await it.kept(), asked: it.as.tokenRequests.length }
}
const nothing = (status: number) => ({ status, kept: [], asked: 0 })

/** A browser that was sent to the authorization server, and the address it would come back to. */
async function leaving(account = 'alice'): Promise<{ browser: Browser; back: string }> {
  const browser = it.browser()
  const url = await browser.agree(await browser.signIn(account, LINK))
  return { browser, back: await it.as.login(`${account}-there`, url) }
}

const changed = (address: string, values: Record<string, string | undefined>): string => {
  const url = new URL(address)
  for (const [name, value] of Object.entries(values))
    if (value === undefined) url.searchParams.delete(name)
    else url.searchParams.set(name, value)
  return url.href
}

describe('the steps', () => {
  test('an answer for the attacker does not sign the victim in', async () => {
    const attacker = await it.browser().get(LINK)
    const answer = await it.idp.login('bob', attacker.location)
    expect(await endOf(await it.browser().get(answer))).toEqual(nothing(400))
    const victim = it.browser()
    await victim.get(LINK)
    expect(await endOf(await victim.get(answer))).toEqual(nothing(400))
  })

  test("the attacker's authorization is not finished in the victim's browser, nor the other way round", async () => {
    const attacker = await leaving('bob')
    const victim = await leaving('alice')
    expect(await endOf(await it.browser().get(attacker.back))).toEqual(nothing(400))
    expect(await endOf(await victim.browser.get(attacker.back))).toEqual(nothing(400))
    expect(await endOf(await attacker.browser.get(victim.back))).toEqual(nothing(400))
  })

  test('a cookie is good for its own step alone', async () => {
    const steps: Record<string, string> = {}
    const browser = it.browser()
    const started = await browser.get(LINK)
    steps['signIn'] = browser.cookies.get(COOKIE) ?? ''
    const back = await browser.get(await it.idp.login('alice', started.location))
    steps['consent'] = browser.cookies.get(COOKIE) ?? ''
    const page = await browser.get(back.location)
    const there = await it.as.login('alice-there', await browser.agree(page))
    steps['connect'] = browser.cookies.get(COOKIE) ?? ''
    const signedIn = await it.idp.login('alice', started.location)
    const addresses = { signIn: signedIn, consent: '/oauth/consent', connect: there }
    for (const [step, address] of Object.entries(addresses))
      for (const other of Object.keys(steps).filter((one) => one !== step)) {
        const swapped = it.browser()
        swapped.cookies.set(COOKIE, steps[other] ?? '')
        expect(await endOf(await swapped.get(address))).toEqual(nothing(400))
      }
    const forged = it.browser()
    forged.cookies.set(COOKIE, steps['signIn'] ?? '')
    expect(await endOf(await forged.post('/oauth/consent', { csrf: csrfOf(page) }))).toEqual(
      nothing(400),
    )
  })

  test('a cookie of another key, and one that was changed, are none', async () => {
    const other = openStepSeal(randomBytes(32), { now: Date.now })
    const step = { server: 'everything', user: 'alice', by: { user: 'alice', issuer: it.idp.issuer, subject: 'alice', isKeeper: true }, csrf: 'x', until: Date.now() + 60_000 }
    const { browser } = await leaving()
    const own = browser.cookies.get(COOKIE) ?? ''
    for (const cookie of [await other.seal('consent', step), `${own.slice(0, -2)}xx`, 'x', '', 'e30.e30.e30.e30.e30']) {
      const forged = it.browser()
      forged.cookies.set(COOKIE, cookie)
      expect(await endOf(await forged.get('/oauth/consent'))).toEqual(nothing(400))
    }
  }) // biome-ignore format: short

  test('a code is exchanged once, with the same cookie twice, and at once', async () => {
    const { browser, back } = await leaving()
    const again = it.browser()
    again.cookies.set(COOKIE, browser.cookies.get(COOKIE) ?? '')
    const pages = await Promise.all([browser.get(back), again.get(back)])
    expect(pages.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 400])
    expect(it.as.tokenRequests.length).toBe(1)
    expect((await it.kept()).length).toBe(1)
    expect((await browser.get(back)).status).toBe(400)
  })

  test('a sign-in is taken once', async () => {
    const browser = it.browser()
    const started = await browser.get(LINK)
    const cookie = browser.cookies.get(COOKIE) ?? ''
    const answer = await it.idp.login('alice', started.location)
    expect((await browser.get(answer)).status).toBe(303)
    browser.cookies.set(COOKIE, cookie)
    expect(await endOf(await browser.get(answer))).toEqual(nothing(400))
  })

  test.each([
    { name: 'another issuer', values: { iss: 'https://evil.test' }, says: /says that another authorization server than http:\S+ sent it \(`iss`\), so its code was not used; open the link anew/ },
    { name: 'no issuer, though it always says it', values: { iss: undefined }, says: /does not say who sent it \(`iss`\), though http:\S+ always says so; its code was not used; open the link anew/ },
    { name: 'another state', values: { state: 'x' }, status: 400 },
    { name: 'no state', values: { state: undefined }, status: 400 },
  ])('an answer with $name gets no code exchanged', async ({ values, status = 502, says = /open the link/ }) => {
    const { browser, back } = await leaving()
    const page = await browser.get(changed(back, values))
    expect(await endOf(page)).toEqual(nothing(status))
    expect(page.text).toMatch(says)
    expect(page.text).not.toContain('evil.test')
  }) // biome-ignore format: a table

  test('a code that was swapped for another is refused by its PKCE', async () => {
    const [mine, other] = [await leaving('alice'), await leaving('bob')]
    const code = new URL(other.back).searchParams.get('code') ?? ''
    const page = await mine.browser.get(changed(mine.back, { code }))
    expect(page.status).toBe(502)
    expect(await it.kept()).toEqual([])
  })

  test('nothing is registered, and nobody sent anywhere, before somebody agreed', async () => {
    it.as.lie = { client_id_metadata_document_supported: false }
    it.as.asked.length = 0
    await it.browser().signIn('alice', LINK)
    expect(it.as.asked).toEqual(['GET /.well-known/oauth-authorization-server'])
    expect(await it.client('everything')).toBeUndefined()
  })
})

describe('the form', () => {
  test.each([
    { name: 'another site', headers: { 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' } },
    { name: 'a sibling site', headers: { 'sec-fetch-site': 'same-site', origin: 'https://evil.pdp.test' } },
    { name: 'a frame without an origin', headers: { 'sec-fetch-site': 'cross-site', origin: 'null' } },
    { name: 'another site, in a browser that says its origin alone', headers: { origin: 'https://evil.test' } },
    { name: 'nobody knows where', headers: {} },
    { name: 'nowhere', headers: { origin: 'null' } },
    { name: 'a script', headers: { 'sec-fetch-site': 'same-origin', 'content-type': 'application/json' } },
  ])('that comes from $name is refused, its token notwithstanding', async ({ headers }) => {
    const browser = it.browser()
    const csrf = csrfOf(await browser.signIn('alice', LINK))
    expect(await endOf(await browser.post('/oauth/consent', { csrf }, headers))).toEqual(nothing(403))
  }) // biome-ignore format: one origin a line

  test('without its token, with that of another, or of a mebibyte, it is refused', async () => {
    const browser = it.browser()
    await browser.signIn('alice', LINK)
    const other = csrfOf(await it.browser().signIn('bob', LINK))
    for (const form of [{}, { csrf: '' }, { csrf: other }])
      expect(await endOf(await browser.post('/oauth/consent', form))).toEqual(nothing(403))
    expect(
      await endOf(await browser.post('/oauth/consent', { csrf: 'x'.repeat(2 ** 20) })),
    ).toEqual(nothing(413))
  })
})

describe('the pages', () => {
  test('none may be framed, kept, or learnt by where they lead; the cookie is for this host and no script', async () => {
    const browser = it.browser()
    const started = await browser.get(LINK)
    expect(started.headers.get('set-cookie')).toMatch(
      /^__Host-cedargate-connect=[^;]+; Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
    )
    const back = await browser.get(await it.idp.login('alice', started.location))
    const consent = await browser.get(back.location)
    const left = await browser.post('/oauth/consent', { csrf: csrfOf(consent) })
    for (const page of [started, back, consent, left, await browser.get('/oauth/callback/everything')]) {
      const policy = page.headers.get('content-security-policy') ?? ''
      expect(policy).toMatch(/^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'$/)
      expect(Object.fromEntries(page.headers)).toMatchObject({
        'x-frame-options': 'DENY',
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'cache-control': 'no-store',
      })
      expect(page.text).not.toMatch(/<script|\son\w+=|javascript:/)
    }
  }) // biome-ignore format: long

  test.each([
    '/connect/everything?next=https://evil.test',
    '/connect/everything?user=https://evil.test/%22%3E%3Cscript%3E',
    '/connect/everything?user=a&user=b&redirect_uri=https://evil.test',
    '/connect/..%2f..%2fevil.test',
    '/connect/https:%2f%2fevil.test',
    '/connect/Everything',
  ])('%s leads nowhere else', async (link) => {
    const page = await it.browser().get(link)
    const origin = page.location === '' ? it.idp.issuer : new URL(page.location).origin
    expect(origin).toBe(it.idp.issuer)
    expect(page.text).not.toContain('evil.test')
  })

  const SCRIPT = '"><script>alert(1)</script><!--\u202e'
  test.each([
    { error: 'access_denied', says: '(access_denied)' },
    { error: 'the-client-secret-0123456789', says: '(it does not say why)' },
    { error: SCRIPT, says: '(it does not say why)' },
  ])('of why an authorization server refuses, a known code is told, and no text of its own', async ({ error, says }) => {
    const { browser, back } = await leaving()
    const description = 'the-client-secret-0123456789'
    const said = { code: undefined, error, error_description: description, error_uri: `https://${description}.test` }
    const page = await browser.get(changed(back, said))
    expect(await endOf(page)).toEqual(nothing(502))
    expect(page.text).toContain(says)
    expect(logged).toContain(says)
    for (const text of [page.text, logged]) expect(text).not.toMatch(/the-client-secret|script>|\u202e/)
  }) // biome-ignore format: a table

  test('what stands in an address that nobody was sent to is not shown at all', async () => {
    const { browser, back } = await leaving()
    const said = { error: 'x', error_description: 'call 555-0100', code: undefined, state: 'other' }
    for (const page of [await browser.get(changed(back, said)), await it.browser().get(`/oauth/signed-in?error=call-555-0100`)]) {
      expect(await endOf(page)).toEqual(nothing(400))
      expect(page.text).not.toContain('555-0100')
    }
  }) // biome-ignore format: long

  test('scopes and endpoints are shown as text, and a script is no endpoint', async () => {
    await declare({ scopes: ['<script>alert(1)</script>'] })
    it.as.lie = { authorization_endpoint: `${it.as.issuer}/auth?x='"><script>` }
    const browser = it.browser()
    const page = await browser.signIn('alice', LINK)
    const left = await browser.post('/oauth/consent', { csrf: csrfOf(page) })
    for (const { status, text } of [page, left]) {
      expect(status).toBe(200)
      expect(text).not.toContain('<script')
    }
    it.as.lie = { authorization_endpoint: 'javascript:alert(1)' }
    await declare({})
    expect(await endOf(await it.browser().signIn('alice', LINK))).toEqual(nothing(502))
  })
})

const now = () => Math.floor(Date.now() / 1000)

/** Of alice for our client, by a key that is not the provider's. */
async function claims(nonce: string): Promise<string> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true })
  const of = {
    iss: it.idp.issuer,
    sub: 'alice',
    aud: CLIENTS.web,
    iat: now(),
    exp: now() + 60,
    nonce,
  }
  return await it.idp.sign(of, { typ: 'JWT' }, { ...(await exportJWK(privateKey)), alg: 'ES256' })
}

/** Where a sign-in ends whose ID token is that one; '' is one by another key. */
async function answered(idToken: string): Promise<Page> {
  const browser = it.browser()
  const started = await browser.get(LINK)
  const answer = await it.idp.login('alice', started.location)
  const nonce = new URL(started.location).searchParams.get('nonce') ?? ''
  const token = idToken === '' ? await claims(nonce) : idToken
  it.idp.fault = (request, response) => {
    if (request.url !== '/token') return undefined
    const body = { access_token: 'an-access-token', token_type: 'Bearer', id_token: token }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    return 'answered'
  }
  return await browser.get(answer)
}

describe('the identity provider', () => {
  test('an ID token that it did not sign is nobody', async () => {
    expect(await endOf(await answered(''))).toEqual(nothing(403))
  })

  test('one that it signed for another sign-in, or another client, is nobody', async () => {
    const replayed = await it.idp.idToken({ account: 'alice', client: CLIENTS.cli, audience: null, nonce: 'x' })
    expect(await endOf(await answered(replayed))).toEqual(nothing(502))
  }) // biome-ignore format: short

  test('whoever fails too often waits', async () => {
    const guarded = await startConnecting({ authFailuresMax: 3 })
    const statuses: number[] = []
    for (let count = 0; count < 5; count++)
      statuses.push((await guarded.browser().get('/oauth/callback/everything?state=x')).status)
    expect(statuses).toEqual([400, 400, 400, 429, 429])
    await guarded.stop()
  })
})

test('no token, code, verifier or cookie is ever logged or shown', async () => {
  const { browser, back } = await leaving()
  const cookie = browser.cookies.get(COOKIE) ?? ''
  it.as.fault = (request, response) => {
    if (request.url !== '/token') return undefined
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end('{"access_token":"canary-access","token_type":"mac","refresh_token":"canary-refresh"}')
    return 'answered'
  }
  const failed = await browser.get(back)
  expect(failed.status).toBe(502)
  expect(logged).toContain('an account was not connected')
  const code = new URL(back).searchParams.get('code') ?? ''
  const verifier = it.as.tokenRequests[0]?.form.get('code_verifier') ?? ''
  expect(verifier).not.toBe('')
  for (const secret of ['canary', code, verifier, cookie]) {
    expect(logged).not.toContain(secret)
    expect(failed.text).not.toContain(secret)
  }
  it.as.fault = undefined
  logged = ''
  await it.browser().connect('alice', LINK)
  const { accessToken, refreshToken } = (await it.kept())[0]?.secret.token ?? {}
  for (const secret of [accessToken, refreshToken]) expect(logged).not.toContain(secret)
}) // biome-ignore format: short

test('a client that is not known there any more is registered anew the next time', async () => {
  it.as.lie = { client_id_metadata_document_supported: false }
  const { browser, back } = await leaving()
  const first = (await it.client('everything'))?.clientId
  it.as.fault = (request, response) => {
    if (request.url !== '/token') return undefined
    response.writeHead(401, { 'content-type': 'application/json', 'www-authenticate': 'Basic' })
    response.end('{"error":"invalid_client"}')
    return 'answered'
  }
  expect((await browser.get(back)).text).toContain('(invalid_client); open the link anew')
  expect(await it.client('everything')).toBeUndefined()
  it.as.fault = undefined
  await it.browser().connect('alice', LINK)
  expect((await it.kept())[0]?.secret.client.clientId).not.toBe(first)
})

test('the document of our client names no other host', async () => {
  const document = (await (await it.pdp.app.request('/oauth/client/everything', { headers: { host: 'evil.test' } })).json()) as object
  expect(document).toMatchObject({ client_id: `${PDP_URL}/oauth/client/everything`, redirect_uris: [`${PDP_URL}/oauth/callback/everything`] })
}) // biome-ignore format: short
