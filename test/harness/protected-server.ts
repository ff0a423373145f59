// Owns an MCP server for tests that demands access tokens of authorization-server.ts: 401 with a challenge, and the metadata
// of RFC 9728. Behind it stands the plain server of upstream.ts.
import { createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { AuthorizationServer } from './authorization-server.ts'
import { close } from './idp.ts'
import type { TestUpstream } from './upstream.ts'

export type ProtectedServer = {
  /** Also the resource that its tokens are for. */
  readonly url: string
  /** The bearer tokens it got, good or not. */
  readonly tokens: string[]
  /** Put over its metadata document. */
  lie: Readonly<Record<string, unknown>>
  /** What its challenge says besides `Bearer`; by default where its metadata is, and the scope. */
  challenge: string
  readonly answer: (request: IncomingMessage, response: ServerResponse) => void
  readonly stop: () => Promise<void>
}

/** Of its own origin, or of the origin of its authorization server (`mount`). */
export async function startProtectedServer(
  as: AuthorizationServer,
  behind: Pick<TestUpstream, 'url'>,
  { mount = false } = {},
): Promise<ProtectedServer> {
  const server = createServer((request, response) => it.answer(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = mount ? as.issuer : `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const metadata = '/.well-known/oauth-protected-resource'
  const it: ProtectedServer = {
    url: `${origin}/mcp`,
    tokens: [],
    lie: {},
    challenge: `resource_metadata="${origin}${metadata}/mcp", scope="read"`,
    answer: (request, response) => void answer(request, response),
    stop: () => close(server),
  }
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url?.startsWith(metadata) === true) {
      const document = { resource: it.url, authorization_servers: [as.issuer], ...it.lie }
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(document))
      return
    }
    const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1] ?? ''
    if (token !== '') it.tokens.push(token)
    if ((await as.claimsOf(token, it.url)) === undefined) {
      const fault = token === '' ? '' : 'error="invalid_token", '
      const challenge = `Bearer ${fault}${it.challenge}`
      response.writeHead(401, it.challenge === '' ? {} : { 'www-authenticate': challenge }).end()
      return
    }
    const { method = 'GET', headers, url = '/' } = request
    const onward = send(new URL(url, behind.url), { method, headers }, (given) => {
      response.writeHead(given.statusCode ?? 502, given.headers)
      given.pipe(response)
    })
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  }
  if (mount) as.mounted = it.answer
  return it
}
