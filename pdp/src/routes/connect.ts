// Owns the pages by which somebody connects an account: cookies, forms and redirects around connect.ts. Never decides who
// may, and none of its addresses gives anybody anything.
import type { Context } from 'hono'
import { connectQuery } from '../../../schemas/credentials-api.ts'
import { serverId } from '../../../schemas/identifiers.ts'
import type { Connect } from '../credentials/oauth/connect-ports.ts'
import { ConnectRefused, notFromOurPage } from '../credentials/oauth/connect-refused.ts'
import { withBody } from './body.ts'
import {
  connectedPage,
  consentPage,
  guardHeaders,
  leavePage,
  problemPage,
} from './connect-pages.ts'
import type { Failures } from './failures.ts'
import type { GuardedRoute, PdpEnv } from './roles.ts'
import { stepCookie } from './step-cookie.ts'

export type ConnectPorts = {
  readonly connect: Connect
  readonly publicUrl: string
  readonly failures: Pick<Failures, 'count' | 'held'>
  /** Our client metadata document for a server. */
  readonly clientDocument: (server: string) => object
}

const FORM_BYTES_MAX = 4 * 1024

export function connectRoutes(ports: ConnectPorts): GuardedRoute[] {
  const { connect, publicUrl, failures } = ports
  const { keep, held, take } = stepCookie(publicUrl)
  return [
    { method: 'GET', path: '/connect/:server', role: 'anyone', handler: paged(start) },
    { method: 'GET', path: '/oauth/signed-in', role: 'anyone', handler: paged(signedIn) },
    { method: 'GET', path: '/oauth/consent', role: 'anyone', handler: paged(consent) },
    {
      method: 'POST',
      path: '/oauth/consent',
      role: 'anyone',
      handler: withBody(FORM_BYTES_MAX, paged(agree)),
    },
    { method: 'GET', path: '/oauth/callback/:server', role: 'anyone', handler: paged(callback) },
    { method: 'GET', path: '/oauth/client/:server', role: 'anyone', handler: paged(document) },
  ]

  function paged(handler: (c: Context<PdpEnv>) => Promise<Response>) {
    return async function page(c: Context<PdpEnv>): Promise<Response> {
      guardHeaders(c)
      try {
        return await handler(c)
      } catch (error) {
        if (!(error instanceof ConnectRefused)) throw error
        const tooMany = error.isFailure ? await failures.count(c) : undefined
        return tooMany ?? c.html(problemPage(error.message), error.status)
      }
    }
  }

  async function start(c: Context<PdpEnv>): Promise<Response> {
    const asked = connectQuery.safeParse({ server: c.req.param('server'), ...c.req.query() })
    if (!asked.success) throw new ConnectRefused(404, 'this link is none of the gateway')
    const { url, cookie } = await connect.start(asked.data.server, asked.data.user ?? null)
    keep(c, cookie)
    return c.redirect(url, 303)
  }

  async function signedIn(c: Context<PdpEnv>): Promise<Response> {
    // Order: the identity provider is asked for whoever sends a code.
    const tooMany = await failures.held(c)
    if (tooMany !== undefined) return tooMany
    const { cookie } = await connect.signedIn(queryOf(c), take(c))
    keep(c, cookie)
    return c.redirect(`${publicUrl}/oauth/consent`, 303)
  }

  async function consent(c: Context<PdpEnv>): Promise<Response> {
    return c.html(consentPage(await connect.consent(held(c)), `${publicUrl}/oauth/consent`))
  }

  async function agree(c: Context<PdpEnv>): Promise<Response> {
    if (!isOwnForm(c, new URL(publicUrl).origin)) throw notFromOurPage()
    const csrf = new URLSearchParams(c.get('body').toString('utf8')).get('csrf') ?? undefined
    const { url, host, cookie } = await connect.agree(csrf, held(c))
    keep(c, cookie)
    return c.html(leavePage(url, host))
  }

  async function callback(c: Context<PdpEnv>): Promise<Response> {
    return c.html(connectedPage(await connect.callback(serverOf(c), queryOf(c), take(c))))
  }

  async function document(c: Context<PdpEnv>): Promise<Response> {
    return c.json(ports.clientDocument(serverOf(c)))
  }
}

/** What stands in the path, where it may be one. */
function serverOf(c: Context<PdpEnv>): string {
  const read = serverId.safeParse(c.req.param('server'))
  if (read.success) return read.data
  throw new ConnectRefused(404, 'this address is none of the gateway')
}

/** Browsers say where a form was sent from; one that says neither is none. `Origin: null` is our own no-referrer. */
function isOwnForm(c: Context<PdpEnv>, own: string): boolean {
  const site = c.req.header('sec-fetch-site')
  const origin = c.req.header('origin')
  const isForm = c.req.header('content-type')?.startsWith('application/x-www-form-urlencoded')
  const isForeign = origin !== undefined && origin !== 'null' && origin !== own
  const isOwn = site === undefined ? origin === own : site === 'same-origin'
  return isForm === true && isOwn && !isForeign
}

function queryOf(c: Context): string {
  return new URL(c.req.url).search
}
