// Somebody connects an account: through a real identity provider, the pages of a real PDP and a real authorization server.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { CONNECT_LIFETIME_MS, OAUTH_METADATA_AGE_MS_MAX } from '../../schemas/limits.ts'
import { AS_CLIENT, startAuthorizationServer } from '../harness/authorization-server.ts'
import { type Connecting, PDP_URL, startConnecting } from '../harness/connecting.ts'
import { startProtectedServer } from '../harness/protected-server.ts'

let it: Connecting
beforeAll(async () => {
  it = await startConnecting()
  it.idp.accounts.set('bob', {})
  it.idp.accounts.set('carol', {})
  it.idp.accounts.set('keeper', { groups: ['Keepers'] })
  it.idp.accounts.set('stranger', {})
  await it.link('alice')
  await it.link('bob')
  await it.link('carol')
})
afterAll(() => it.stop())
beforeEach(async () => {
  it.shiftMs = 0
  it.as.lie = {}
  it.as.fault = undefined
  it.as.lifetimeSeconds = 300
  await it.forget()
  await it.declare('everything')
})

async function lastAct() {
  const headers = it.pdp.authorization('operator')
  const answer = await it.pdp.app.request('/admin/v1/acts?limit=1&act=credentials.connect', { headers })
  const { acts } = (await answer.json()) as { acts: object[] }
  return acts[0]
} // biome-ignore format: short

const LINK = '/connect/everything?user=alice'

test('a person signs in, agrees, and what they connect is kept for them', async () => {
  const browser = it.browser()
  const page = await browser.signIn('alice', LINK)
  const host = new URL(it.as.issuer).host
  for (const said of ['https://everything.test', 'alice alone', `one at ${it.as.issuer}`, host, 'read']) expect(page.text).toContain(said)
  expect(it.as.asked).not.toContain('GET /auth')
  const url = new URL(await browser.agree(page))
  expect(Object.fromEntries(url.searchParams)).toMatchObject({
    response_type: 'code',
    client_id: `${PDP_URL}/oauth/client/everything`,
    redirect_uri: `${PDP_URL}/oauth/callback/everything`,
    code_challenge_method: 'S256',
    resource: 'https://everything.test/mcp',
    scope: 'read',
  })
  const done = await browser.get(await it.as.login('alice-there', url.href))
  expect(done.status).toBe(200)
  expect(done.text).toContain('everything is connected')
  const [kept] = await it.kept()
  expect(kept).toMatchObject({
    server: 'everything',
    user: 'alice',
    issuer: it.as.issuer,
    scopes: ['read'],
    secret: { kind: 'oauth', resource: 'https://everything.test/mcp', client: { authMethod: 'none' } },
  })
  const claims = await it.as.claimsOf(kept?.secret.token.accessToken ?? '', 'https://everything.test/mcp')
  expect(claims).toMatchObject({ sub: 'alice-there' })
  expect(kept?.secret.token.refreshToken).toEqual(expect.any(String))
  expect(browser.cookies.size).toBe(0)
}) // biome-ignore format: one flow

test('a link that names nobody is for whoever signs in', async () => {
  await it.browser().connect('bob', '/connect/everything')
  expect(await it.kept()).toMatchObject([{ user: 'bob' }])
})

test('where the metadata document is not taken, the gateway registers, and where it may not, it says so', async () => {
  it.as.lie = { client_id_metadata_document_supported: false }
  await it.declare('everything', { scopes: ['write'] })
  await it.browser().connect('alice', LINK)
  const registered = await it.client('everything')
  expect(registered?.by).toBe('registration')
  expect(await it.kept()).toMatchObject([{ secret: { client: { clientId: registered?.clientId } } }])
  await it.forget()
  it.as.lie = { client_id_metadata_document_supported: false, registration_endpoint: undefined }
  await it.declare('everything', { scopes: ['read', 'write'] })
  const browser = it.browser()
  const page = await browser.signIn('alice', LINK)
  const csrf = /value="([^"]+)"/.exec(page.text)?.[1] ?? ''
  const refused = await browser.post('/oauth/consent', { csrf })
  expect(refused).toMatchObject({ status: 502 })
  expect(refused.text).toContain('cedargate credentials set --server everything')
}) // biome-ignore format: short

test('offline_access is asked for besides what the server itself says it needs', async () => {
  const server = await startProtectedServer(it.as, { url: 'http://127.0.0.1:1' }, { mount: true })
  await it.declare('everything', { issuer: undefined, scopes: undefined }, server.url)
  const browser = it.browser()
  const page = await browser.signIn('alice', LINK)
  expect(page.text).toContain('read offline_access')
  const url = new URL(await browser.agree(page))
  expect(Object.fromEntries(url.searchParams)).toMatchObject({ scope: 'read offline_access', prompt: 'consent', resource: server.url })
  await server.stop()
}) // biome-ignore format: short

describe('who may', () => {
  test('somebody else than the link names is told so', async () => {
    const page = await it.browser().signIn('bob', LINK)
    expect(page.status).toBe(403)
    expect(page.text).toContain('this link is for alice, and you are signed in as bob')
  })

  test('a link says the same whether its user and its server exist', async () => {
    const known = await it.browser().signIn('bob', '/connect/everything?user=alice')
    const unknown = await it.browser().signIn('bob', '/connect/everything?user=nobody')
    expect(unknown.text.replaceAll('nobody', 'alice')).toBe(known.text.replaceAll('nobody', 'alice'))
    const noGrant = await it.browser().signIn('carol', '/connect/everything')
    const noServer = await it.browser().signIn('carol', '/connect/elsewhere')
    expect(noGrant.status).toBe(403)
    expect(noServer.text.replaceAll('elsewhere', 'everything')).toBe(noGrant.text)
  }) // biome-ignore format: short

  test('who is not linked is told the same whether somebody has that name, and leaves no trace', async () => {
    await it.pdp.store.sql.query("insert into users (id, teams, created) values ('dave', '{}', now())")
    it.idp.accounts.set('dave', {})
    const stranger = await it.browser().signIn('stranger', '/connect/everything')
    const namesake = await it.browser().signIn('dave', '/connect/everything')
    expect(stranger.status).toBe(403)
    expect(stranger.text).toContain('nobody here is linked to you')
    expect(namesake.text.replaceAll('dave', 'stranger')).toBe(stranger.text)
    const made = "select 1 from users where id = 'stranger' or issuer is not null and id = 'dave'"
    expect(await it.pdp.store.sql.query(made)).toEqual([])
  }) // biome-ignore format: short

  test('a grant that is revoked between two steps ends it', async () => {
    const { id } = await it.pdp.admin.createGrant({ user: 'carol', agent: 'demo', servers: ['everything'], teams: [], expiresInMs: 60_000 })
    const browser = it.browser()
    const url = await browser.agree(await browser.signIn('carol', '/connect/everything'))
    const back = await it.as.login('carol-there', url)
    const tokens = it.as.tokenRequests.length
    await it.pdp.admin.revokeGrant(id)
    expect((await browser.get(back)).status).toBe(403)
    expect(it.as.tokenRequests.length).toBe(tokens)
    expect(await it.kept()).toEqual([])
  }) // biome-ignore format: short

  test('the account for all is connected by a credential-admin, and by nobody else', async () => {
    expect((await it.browser().signIn('alice', '/connect/files')).status).toBe(403)
    const page = await it.browser().connect('keeper', '/connect/files')
    expect(page.text).toContain('everybody who may use it')
    expect(await it.kept()).toMatchObject([{ server: 'files', user: null }])
    expect(await lastAct()).toMatchObject({ by: 'keeper', what: { server: 'files', user: null } })
  })

  test('a server whose credential is no account is connected by nobody', async () => {
    await it.declare('everything', { kind: 'client_credentials' })
    expect((await it.browser().signIn('alice', LINK)).status).toBe(403)
  })
})

async function order(method: string, path: string, body: object) {
  const answer = await it.pdp.app.request(`/admin/v1/credentials${path}`, {
    method,
    headers: { ...it.pdp.authorization('operator'), 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  return { status: answer.status, row: (await answer.json()) as Record<string, unknown> }
}
const rowOf = async (server: string) => {
  const rows = await it.pdp.store.sql.query(
    "select id, version, reconnect from credentials where server = $1 and use = 'call'",
    [server],
  )
  return rows[0] as { id: string; version: number; reconnect: string | null }
}

describe('the token of a connected account', () => {
  test('is renewed at its authorization server, whatever else changed there', async () => {
    await it.browser().connect('alice', LINK)
    const [before] = await it.kept()
    const { id } = await rowOf('everything')
    it.as.tokenRequests.length = 0
    const { row } = await order('POST', `/${id}/rotate`, {})
    expect(row).toMatchObject({ version: 2, state: 'ok', issuer: it.as.issuer, scopes: ['read'] })
    const [after] = await it.kept()
    expect(after?.secret.token.accessToken).not.toBe(before?.secret.token.accessToken)
    expect(it.as.tokenRequests.map(({ form }) => form.get('grant_type'))).toEqual(['refresh_token'])
    const audience = 'https://everything.test/mcp'
    const claims = await it.as.claimsOf(after?.secret.token.accessToken ?? '', audience)
    expect(claims).toMatchObject({ sub: 'alice-there', aud: audience })
  })

  test('that was revoked there is asked for once, and wants a new connection', async () => {
    await it.browser().connect('alice', LINK)
    const { id } = await rowOf('everything')
    it.as.revokeAll()
    it.as.tokenRequests.length = 0
    await order('POST', `/${id}/rotate`, {})
    expect(await rowOf('everything')).toMatchObject({ version: 1, reconnect: /invalid_grant/ })
    await order('POST', `/${id}/rotate`, {})
    expect(it.as.tokenRequests.length).toBe(1)
    await it.browser().connect('alice', LINK)
    expect(await rowOf('everything')).toMatchObject({ id, version: 2, reconnect: null })
  })

  test('goes out with calls of whose it is; before, the refusal says where to connect', async () => {
    expect(await it.sentWith('everything')).toContain(
      `open ${PDP_URL}/connect/everything?user=alice`,
    )
    await it.browser().connect('alice', LINK)
    const [kept] = await it.kept()
    expect(await it.sentWith('everything')).toBe(`Bearer ${kept?.secret.token.accessToken}`)
  })

  test.each<{ name: string; changes: object; why: string }>([
    { name: 'another issuer', changes: { issuer: 'https://as.test' }, why: 'server.yaml names https://as.test' },
    { name: 'another resource', changes: { resource: 'https://everything.test/' }, why: 'it is for' },
    { name: 'another client', changes: { clientId: 'another' }, why: 'another client' },
  ])('does not go out once server.yaml names $name', async ({ changes, why }) => {
    await it.browser().connect('alice', LINK)
    expect(await it.sentWith('everything')).toMatch(/^Bearer /)
    await it.declare('everything', changes)
    expect(await it.sentWith('everything')).toContain(why)
    const { id } = await rowOf('everything')
    expect((await order('POST', `/${id}/test`, {})).row).toMatchObject({ ok: false, problem: expect.stringContaining(why) })
  }) // biome-ignore format: a table

  test('does not go out to another address', async () => {
    await it.browser().connect('alice', LINK)
    await it.declare('everything', {}, 'https://evil.test/mcp')
    expect(await it.sentWith('everything')).toContain('is at another address now')
  })

  test('is not renewed for another server of that name', async () => {
    await it.browser().connect('alice', LINK)
    const { id } = await rowOf('everything')
    it.as.tokenRequests.length = 0
    await it.declare('everything', {}, 'https://evil.test/mcp')
    await order('POST', `/${id}/rotate`, {})
    expect(await rowOf('everything')).toMatchObject({
      reconnect: /it is for https:\/\/everything.test/,
    })
    expect(it.as.tokenRequests).toEqual([])
  })

  test('of the gateway itself is got with its secret', async () => {
    await it.declare('everything', { kind: 'client_credentials' })
    const secret = { kind: 'client', clientId: AS_CLIENT.id, value: AS_CLIENT.secret }
    const set = await order('PUT', '', { server: 'everything', user: null, secret })
    expect(set.status).toBe(200)
    const { row } = await order('POST', `/${String(set.row['id'])}/rotate`, {})
    expect(row).toMatchObject({ version: 2, state: 'ok', issuer: it.as.issuer })
  })

  test('that lives for a minute is not fetched for each call', async () => {
    it.as.lifetimeSeconds = 60
    await it.declare('everything', { kind: 'client_credentials' })
    const secret = { kind: 'client', clientId: AS_CLIENT.id, value: AS_CLIENT.secret }
    await order('PUT', '', { server: 'everything', user: null, secret })
    it.as.tokenRequests.length = 0
    const sent = new Set<string>()
    for (let call = 0; call < 40; call++) sent.add(await it.sentWith('everything'))
    expect([...sent]).toEqual([expect.stringMatching(/^Bearer /)])
    expect(it.as.tokenRequests.length).toBe(1)
  })

  test('of the gateway itself, and its secret, go to nobody else, whatever table and bundle say', async () => {
    await it.declare('everything', { kind: 'client_credentials' })
    const secret = { kind: 'client', clientId: AS_CLIENT.id, value: AS_CLIENT.secret }
    const { row } = await order('PUT', '', { server: 'everything', user: null, secret })
    const evil = await startAuthorizationServer()
    const { sql } = it.pdp.store
    await sql.query('update credentials set issuer = $1, version = version', [evil.issuer])
    await it.declare('everything', { kind: 'client_credentials', issuer: evil.issuer })
    expect(await it.sentWith('everything')).toContain('is at another address now')
    for (const body of [{}, { secret }])
      expect(await order('POST', `/${String(row['id'])}/rotate`, body)).toMatchObject({
        status: 400,
      })
    expect(evil.tokenRequests).toEqual([])
    await evil.stop()
  })
})

test('it ends after so long, at every step', async () => {
  const browser = it.browser()
  const page = await browser.signIn('alice', LINK)
  it.shiftMs = CONNECT_LIFETIME_MS
  expect((await browser.get('/oauth/consent')).status).toBe(400)
  it.shiftMs = 0
  const back = await it.as.login('alice-there', await browser.agree(page))
  it.shiftMs = CONNECT_LIFETIME_MS
  expect((await browser.get(back)).status).toBe(400)
  expect(await it.kept()).toEqual([])
})

test('it is an act of who agreed, recorded before it is kept', async () => {
  await it.browser().connect('alice', LINK)
  expect(await lastAct()).toMatchObject({
    by: 'alice',
    act: 'credentials.connect',
    what: { server: 'everything', user: 'alice', issuer: it.as.issuer, scopes: ['read'] },
    status: 201,
  })
  expect(JSON.stringify(await lastAct())).not.toContain((await it.kept())[0]?.secret.token.accessToken)
}) // biome-ignore format: short

test('what cannot be recorded is not kept, and the page says so', async () => {
  const browser = it.browser()
  const url = await browser.agree(await browser.signIn('alice', LINK))
  const back = await it.as.login('alice-there', url)
  await it.pdp.store.sql.query('alter table record rename to away')
  const page = await browser.get(back)
  await it.pdp.store.sql.query('alter table away rename to record')
  expect(page.status).toBe(503)
  expect(page.text).toContain('nothing was kept')
  expect(await it.kept()).toEqual([])
}) // biome-ignore format: short

test('who is offboarded meanwhile has nothing kept', async () => {
  const browser = it.browser()
  const back = await it.as.login('x', await browser.agree(await browser.signIn('bob', '/connect/everything')))
  const orderUser = (path: string) => it.pdp.app.request(`/admin/v1/users/bob/${path}`, { method: 'POST', headers: it.pdp.authorization('operator') })
  expect((await orderUser('offboard')).status).toBeLessThan(300)
  expect((await browser.get(back)).status).toBe(403)
  expect(await it.kept()).toEqual([])
  expect((await orderUser('reinstate')).status).toBeLessThan(300)
}) // biome-ignore format: short

test('an account of before is not mixed with settings of now', async () => {
  const browser = it.browser()
  const back = await it.as.login('x', await browser.agree(await browser.signIn('alice', LINK)))
  await it.declare('everything', { resource: 'https://everything.test/' })
  expect((await browser.get(back)).status).toBe(409)
  expect(await it.kept()).toEqual([])
})

test('an identity provider that does not say that it takes PKCE is sent it all the same', async () => {
  const truth = await fetch(`${it.idp.issuer}/.well-known/openid-configuration`)
  const said = { ...((await truth.json()) as object), code_challenge_methods_supported: undefined }
  it.idp.fault = (request, response) => {
    if (request.url?.startsWith('/.well-known/') !== true) return undefined
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(said))
    return 'answered'
  }
  it.shiftMs = OAUTH_METADATA_AGE_MS_MAX
  const started = await it.browser().get(LINK)
  it.idp.fault = undefined
  expect(new URL(started.location).searchParams.get('code_challenge_method')).toBe('S256')
})

test('without a login file the page says what to set', async () => {
  const bare = await startConnecting({ login: false })
  const page = await bare.browser().get('/connect/everything')
  expect(page.status).toBe(503)
  expect(page.text).toContain('CEDARGATE_LOGIN_FILE')
  await bare.stop()
})

test('over loopback the cookie needs no https, and the gateway is a native client', async () => {
  const local = await startConnecting({ publicUrl: 'http://127.0.0.1:8181' })
  const started = await local.browser().get('/connect/everything')
  expect(started.headers.get('set-cookie')).toMatch(/^cedargate-connect=[^;]+; Max-Age=600; Path=\/; HttpOnly; SameSite=Lax$/)
  expect(new URL(started.location).searchParams.get('redirect_uri')).toBe('http://127.0.0.1:8181/oauth/signed-in')
  await local.stop()
}) // biome-ignore format: short
