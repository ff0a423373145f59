// Owns the address on this machine that the browser comes back to with the answer of the identity provider (RFC 8252
// §7.3). Never judges that answer, beyond whether it is to the question that was asked.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Loopback = {
  /** `http://127.0.0.1:<port>/callback`, on a port that was free. */
  readonly redirectUri: string
  /** The whole address the browser came back to. Rejects after `waitMs`. */
  readonly callback: Promise<URL>
  readonly close: () => void
}

const PATH = '/callback'
const GO_BACK = 'Cedargate has its answer: go back to the terminal, and close this page.\n'
const NOT_OURS = 'This is no answer that Cedargate waits for.\n'

/**
 * Waits for one GET of the callback whose only `state` is this one, then closes. Any page may send a browser here: what
 * is not that callback is answered 404 and changes nothing. Rejects when no port of 127.0.0.1 can be had.
 */
export async function listenForCallback(state: string, waitMs: number): Promise<Loopback> {
  const { promise: callback, resolve, reject } = Promise.withResolvers<URL>()
  let redirectUri = ''
  const server = createServer((request, answer) => {
    const url = new URL(redirectUri)
    url.search = queryOf(request)
    const ours = url.search !== '' && url.searchParams.getAll('state').join() === state
    page(answer, ours ? 200 : 404, ours ? GO_BACK : NOT_OURS)
    if (ours) resolve(url)
  })
  await new Promise<void>((listening, failed) => {
    server.once('error', failed).listen(0, '127.0.0.1', listening)
  })
  redirectUri = `http://127.0.0.1:${(server.address() as AddressInfo).port}${PATH}`
  const late = setTimeout(() => reject(new Error('nobody came back from the browser')), waitMs)
  const close = (): void => {
    clearTimeout(late)
    server.close()
  }
  return { redirectUri, callback: callback.finally(close), close }
}

/** The query of a GET of the callback, with its `?`; empty for every other request. */
function queryOf({ method, url = '' }: IncomingMessage): string {
  return method === 'GET' && url.startsWith(`${PATH}?`) ? url.slice(PATH.length) : ''
}

function page(answer: ServerResponse, status: number, text: string): void {
  answer.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    connection: 'close',
  })
  answer.end(text)
}
