// Owns everything that connecting an account takes, all of it real: a PDP, the identity provider of its login file, an
// authorization server, and browsers. What is kept is kept in memory.
import type { Logger } from 'pino'
import { expect } from 'vitest'
import type { Connected } from '../../pdp/src/credentials/oauth/connect-ports.ts'
import type { OauthTarget } from '../../pdp/src/credentials/oauth/discover.ts'
import { readLoginFile } from '../../pdp/src/identity/login-file.ts'
import { type AuthorizationServer, startAuthorizationServer } from './authorization-server.ts'
import { type Kept, keepClients } from './connected.ts'
import { CLIENTS, type Idp, startIdp, WEB_SECRET } from './idp.ts'
import { EXAMPLE_BUNDLE, startTestPdp, type TestPdp } from './pdp.ts'

export type Connecting = {
  readonly idp: Idp
  readonly as: AuthorizationServer
  readonly pdp: TestPdp
  readonly clients: Kept['clients']
  /** By server; a test adds and changes them. */
  readonly targets: Map<string, OauthTarget>
  /** What was connected, in order. */
  readonly kept: Connected[]
  /** Rejects instead of keeping. */
  unrecorded: boolean
  /** How far the PDP's clocks are ahead of ours. */
  shiftMs: number
  /** Names the link of that user to the identity provider, as an admin does. */
  readonly link: (user: string, subject?: string) => Promise<void>
  readonly browser: () => Browser
  readonly stop: () => Promise<void>
}

export type Page = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** Where it redirects to; '' where it does not. */
  readonly location: string
}

/** One browser at the PDP, with its cookies. */
export type Browser = {
  readonly cookies: Map<string, string>
  readonly get: (url: string) => Promise<Page>
  readonly post: (url: string, form: Record<string, string>, headers?: Record<string, string>) => Promise<Page>
  /** Opens the link and signs in: the page that it ends at. */
  readonly signIn: (account: string, link: string) => Promise<Page>
  /** Says yes on the consent page: the address at the authorization server. */
  readonly agree: (page: Page) => Promise<string>
  /** All of it. */
  readonly connect: (account: string, link: string) => Promise<Page>
} // biome-ignore format: one promise a line

export const PDP_URL = 'https://pdp.test'

type Options = {
  readonly log?: Logger
  readonly publicUrl?: string
  readonly login?: false
  readonly authFailuresMax?: number
}

export async function startConnecting(options: Options = {}): Promise<Connecting> {
  const [idp, as] = [await startIdp(), await startAuthorizationServer()]
  const { publicUrl = PDP_URL } = options
  const { clients, ...store } = keepClients()
  const login = readLoginFile(
    'login.yaml',
    `issuer: ${idp.issuer}\nclientId: ${CLIENTS.cli}\nweb: { clientId: ${CLIENTS.web} }\nroles: { credential-admin: [Keepers] }\n`,
  )
  const it: { -readonly [Key in keyof Connecting]: Connecting[Key] } = {
    idp,
    as,
    pdp: undefined as never,
    clients,
    targets: new Map(),
    kept: [],
    unrecorded: false,
    shiftMs: 0,
    async link(user, subject = user) {
      const answer = await it.pdp.app.request(`/admin/v1/users/${user}`, {
        method: 'PUT',
        headers: { ...it.pdp.authorization('operator'), 'content-type': 'application/json' },
        body: JSON.stringify({ link: { issuer: idp.issuer, subject } }),
      })
      expect(answer.status).toBeLessThan(300)
    },
    browser: () => openBrowser(it),
    stop: async () => {
      await it.pdp.stop()
      await Promise.all([idp.stop(), as.stop()])
    },
  }
  it.pdp = await startTestPdp(EXAMPLE_BUNDLE, {
    publicUrl,
    clock: {
      now: () => Date.now() + it.shiftMs,
      monotonic: () => performance.now() + it.shiftMs,
    },
    ...(options.login === false ? {} : { login }),
    ...(options.log === undefined ? {} : { log: options.log }),
    webClientSecret: WEB_SECRET,
    authFailuresMax: options.authFailuresMax ?? 10_000,
    connections: {
      ...store,
      targetOf: (server) => it.targets.get(server),
      connected: async (done) => {
        if (it.unrecorded) throw new Error('the record cannot be written')
        it.kept.push(done)
      },
    },
  })
  as.fetchDocument = async (url) => it.pdp.app.request(url)
  return it
}

function openBrowser({ pdp, idp, as }: Connecting): Browser {
  const cookies = new Map<string, string>()
  async function request(url: string, init: RequestInit = {}): Promise<Page> {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const headers = new Headers(init.headers)
    if (cookie !== '') headers.set('cookie', cookie)
    const answer = await pdp.app.request(url, { ...init, headers })
    for (const line of answer.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value === '') cookies.delete(name)
      else cookies.set(name, value)
    }
    const location = answer.headers.get('location') ?? ''
    return { status: answer.status, headers: answer.headers, text: await answer.text(), location }
  }
  const it: Browser = {
    cookies,
    get: (url) => request(url),
    post: (url, form, headers = { 'sec-fetch-site': 'same-origin', origin: 'null' }) =>
      request(url, { method: 'POST', headers, body: new URLSearchParams(form) }),
    async signIn(account, link) {
      const started = await it.get(link)
      if (started.location === '') return started
      const back = await it.get(await idp.login(account, started.location))
      return back.location === '' ? back : await it.get(back.location)
    },
    async agree(page) {
      const left = await it.post(formOf(page), { csrf: csrfOf(page) })
      expect(left).toMatchObject({ status: 200, location: '' })
      const href = /<a href="([^"]+)"/.exec(left.text)?.[1] ?? ''
      return href.replaceAll('&amp;', '&')
    },
    async connect(account, link) {
      const page = await it.signIn(account, link)
      expect(page).toMatchObject({ status: 200 })
      return await it.get(await as.login(`${account}-there`, await it.agree(page)))
    },
  }
  return it
}

export function csrfOf({ text }: Page): string {
  return /name="csrf" value="([^"]+)"/.exec(text)?.[1] ?? ''
}

export function formOf({ text }: Page): string {
  return /<form method="post" action="([^"]+)"/.exec(text)?.[1] ?? ''
}
