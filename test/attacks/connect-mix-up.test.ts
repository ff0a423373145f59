// RFC 9700 §4.4: a hostile server that somebody connects names itself as its authorization server, and has them agree at an
// honest one. No code, verifier or token of the honest one may reach it.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Connecting, PDP_URL, startConnecting } from '../harness/connecting.ts'
import { close } from '../harness/idp.ts'

let it: Connecting
let evil: Server
let origin = ''
/** What the hostile server was asked for at its token endpoint. */
const tokenRequests: string[] = []
/** Put over what it says of itself as an authorization server. */
let lie: object = {}

beforeAll(async () => {
  it = await startConnecting()
  await it.link('alice')
  evil = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0] ?? ''
    if (path === '/token') request.on('data', (chunk) => tokenRequests.push(String(chunk)))
    const body = path.includes('oauth-protected-resource')
      ? { resource: `${origin}/mcp`, authorization_servers: [origin], scopes_supported: ['read'] }
      : { ...metadata(), ...lie }
    response.writeHead(path === '/mcp' ? 401 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => evil.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(evil.address() as AddressInfo).port}`
})
afterAll(async () => {
  await it.stop()
  await close(evil)
})
let servers = 0
beforeEach(async () => {
  lie = {}
  tokenRequests.length = 0
  it.as.tokenRequests.length = 0
  const credential = { issuer: undefined, scopes: undefined }
  await it.declare('everything', credential, `${origin}/mcp?${++servers}`)
})

const metadata = () => ({
  issuer: origin,
  token_endpoint: `${origin}/token`,
  authorization_endpoint: `${origin}/authorize`,
  response_types_supported: ['code'],
  code_challenge_methods_supported: ['S256'],
  client_id_metadata_document_supported: true,
})

const LINK = '/connect/everything'
const nothing = { stolen: [], asked: 0, kept: [] }
async function outcome() {
  const asked = it.as.tokenRequests.length
  return { stolen: [...tokenRequests], asked, kept: await it.kept() }
}

/** A browser that agreed to go to the hostile page; that sends it on to the honest one, with what it likes. */
async function sentOn(changes: Record<string, string>) {
  const browser = it.browser()
  const url = new URL(await browser.agree(await browser.signIn('alice', LINK)))
  expect(url.origin).toBe(origin)
  const honest = new URL(`${it.as.issuer}/auth`)
  honest.search = url.search
  for (const [name, value] of Object.entries(changes)) honest.searchParams.set(name, value)
  return { browser, back: await it.as.login('alice-there', honest.href) }
}

test("it may not send people straight to somebody else's page", async () => {
  lie = { authorization_endpoint: `https://honest.test/auth` }
  const page = await it.browser().signIn('alice', LINK)
  expect(page.status).toBe(502)
  expect(page.text).toContain('sends people to a page of another origin')
  expect(await outcome()).toEqual(nothing)
})

test('an answer to what it asked there in the name of another server is for nobody', async () => {
  const files = { client_id: `${PDP_URL}/oauth/client/files`, redirect_uri: `${PDP_URL}/oauth/callback/files` } // biome-ignore format: short
  const { browser, back } = await sentOn(files)
  expect(back).toMatch(/^https:\/\/pdp\.test\/oauth\/callback\/files\?code=/)
  const url = new URL(back)
  url.searchParams.delete('iss')
  const page = await browser.get(url.href)
  expect(page.status).toBe(400)
  expect(page.text).toContain('came to the address of another server')
  expect(await outcome()).toEqual(nothing)
  const path = url.href.replace('/callback/files', '/callback/everything')
  expect((await browser.get(path)).status, 'nor afterwards').toBe(400)
  expect(await outcome()).toEqual(nothing)
})

test('an answer that says who sent it is for nobody else', async () => {
  const { browser, back } = await sentOn({})
  expect(new URL(back).searchParams.get('iss')).toBe(it.as.issuer)
  const page = await browser.get(back)
  expect(page.status).toBe(502)
  expect(page.text).toContain('another authorization server')
  expect(await outcome()).toEqual(nothing)
})

test('the page before says who it is, where it leads and where the token goes', async () => {
  const { text } = await it.browser().signIn('alice', LINK)
  expect(text).toContain(`<dd>one at ${origin}</dd>`)
  expect(text).toContain(`<dt>You will be sent to</dt><dd>${new URL(origin).host}</dd>`)
  expect(text).toContain(`<dt>What you give there goes to</dt><dd>${origin}</dd>`)
})

test.each(['/oauth/callback', '/oauth/callback/', '/oauth/callback/Files', '/oauth/callback/..%2ffiles', '/oauth/client/x%2fy'])(
  '%s is no address of a server',
  async (path) => {
    expect((await it.browser().get(`${path}?code=x&state=x`)).status).toBe(404)
  },
) // biome-ignore format: one path a word
