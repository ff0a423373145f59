// Owns everything that connecting an account takes, all of it real: a PDP, the identity provider of its login file, an
// authorization server, and browsers.
import { hash, randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { expect } from 'vitest'
import { makeToolsLock, toolsLockText } from '../../pdp/src/catalog/lock.ts'
import { unseal } from '../../pdp/src/credentials/envelope.ts'
import { openKeyRing } from '../../pdp/src/credentials/key-ring.ts'
import { type CredentialRecord, openCredentialRows } from '../../pdp/src/credentials/rows.ts'
import type { ClientSecret, ConnectedSecret } from '../../pdp/src/credentials/secret.ts'
import { readLoginFile } from '../../pdp/src/identity/login-file.ts'
import { systemClock } from '../../pdp/src/main.ts'
import { decideResponse } from '../../schemas/pep-api.ts'
import { type AuthorizationServer, startAuthorizationServer } from './authorization-server.ts'
import { CLIENTS, type Idp, startIdp, WEB_SECRET } from './idp.ts'
import { startTestPdp, type TestPdp } from './pdp.ts'

export type Connecting = {
  readonly idp: Idp
  readonly as: AuthorizationServer
  readonly pdp: TestPdp
  /** How far the PDP's clocks are ahead of ours. */
  shiftMs: number
  /** Another `credential` of that server, in the bundle that decides when it resolves. */
  readonly declare: (server: string, changes?: object, url?: string) => Promise<void>
  /** What is kept of accounts, decrypted. */
  readonly kept: () => Promise<readonly KeptAccount[]>
  /** What the gateway is registered with for a server. */
  readonly client: (server: string) => Promise<ClientSecret | undefined>
  readonly forget: () => Promise<void>
  /** What a call of alice to that server is sent with; else why it is not sent. */
  readonly sentWith: (server: string) => Promise<string>
  /** Names the link of that user to the identity provider, as an admin does. */
  readonly link: (user: string, subject?: string) => Promise<void>
  readonly browser: () => Browser
  readonly stop: () => Promise<void>
}

export type KeptAccount = Pick<CredentialRecord, 'server' | 'user' | 'issuer' | 'scopes'> & {
  readonly secret: ConnectedSecret
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
  const directory = await mkdtemp(join(tmpdir(), 'cedargate-connecting-'))
  const it: { -readonly [Key in keyof Connecting]: Connecting[Key] } = {
    idp,
    as,
    pdp: undefined as never,
    shiftMs: 0,
    async declare(server, changes = {}, url) {
      await writeServer(directory, server, { issuer: as.issuer, scopes: ['read'], ...changes }, url)
      await it.pdp.activation.refresh()
    },
    async kept() {
      const found = await openKept(it.pdp)
      return found.flatMap((one) => (one.secret.kind === 'oauth' ? [one as KeptAccount] : []))
    },
    async client(server) {
      const found = (await openKept(it.pdp)).find((one) => one.server === server && one.secret.kind === 'client')
      return found?.secret as ClientSecret | undefined
    },
    async sentWith(server) {
      const { authorization: bearer = '' } = it.pdp.authorization('grant')
      const token = hash('sha256', bearer.slice('Bearer '.length))
      const message = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' })
      const what = { requestId: randomUUID(), server, method: 'ping', message, era: 'legacy' }
      const call = { ...what, token, definition: null, client: null, sourceIp: null }
      const answer = await it.pdp.app.request('/pep/v1/decide', {
        method: 'POST',
        headers: { ...it.pdp.authorization('pep'), 'content-type': 'application/json' },
        body: JSON.stringify({ calls: [call] }),
      })
      const [result] = decideResponse.parse(await answer.json()).results
      if (result?.kind !== 'verdict') throw new Error(JSON.stringify(result))
      return result.credential?.headers['authorization'] ?? result.text
    },
    forget: async () => void (await it.pdp.store.sql.query('delete from credentials')),
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
      await Promise.all([idp.stop(), as.stop(), rm(directory, { recursive: true })])
    },
  } // biome-ignore format: one promise a line
  await writeFile(join(directory, 'gateway.yaml'), 'name: Test\n')
  await mkdir(join(directory, 'cedar'))
  await writeFile(join(directory, 'cedar', 'all.cedar'), PERMIT)
  const credential = { issuer: as.issuer, scopes: ['read'] }
  await writeServer(directory, 'everything', credential)
  await writeServer(directory, 'files', { ...credential, per: 'deployment' })
  it.pdp = await startTestPdp(directory, {
    publicUrl: options.publicUrl ?? PDP_URL,
    clock: {
      now: () => Date.now() + it.shiftMs,
      monotonic: () => performance.now() + it.shiftMs,
    },
    ...(options.login === false ? {} : { login: loginAt(idp) }),
    ...(options.log === undefined ? {} : { log: options.log }),
    webClientSecret: WEB_SECRET,
    authFailuresMax: options.authFailuresMax ?? 10_000,
  })
  as.fetchDocument = async (url) => it.pdp.app.request(url)
  return it
}

/** Whoever has a grant may connect. */
const PERMIT =
  '@id("all/connect")\npermit (principal, action == MCP::Action::"connect", resource);\n'

function loginAt({ issuer }: Idp) {
  const web = `web: { clientId: ${CLIENTS.web} }`
  const roles = 'roles: { credential-admin: [Keepers] }'
  return readLoginFile(
    'login.yaml',
    `issuer: ${issuer}\nclientId: ${CLIENTS.cli}\n${web}\n${roles}\n`,
  )
}

async function writeServer(
  directory: string,
  server: string,
  credential: object,
  url = `https://${server}.test/mcp`,
): Promise<void> {
  const folder = join(directory, 'servers', server)
  await mkdir(folder, { recursive: true })
  const file = { url, credential: { kind: 'oauth', ...credential } }
  await writeFile(join(folder, 'server.yaml'), JSON.stringify(file))
  await writeFile(join(folder, 'tools.lock.json'), toolsLockText(makeToolsLock([])))
}

/** As a PDP with the same keys reads them. */
async function openKept({ store, keys }: TestPdp) {
  const ring = await openKeyRing({ ...keys.keks, clock: systemClock })
  const records = await openCredentialRows(store.sql).list({ limit: 100 })
  return await Promise.all(
    records.map(async (record) => {
      const { server, user, issuer, scopes } = record
      const { secret } = await unseal(ring, record.envelope, record)
      return { server, user, issuer, scopes, secret }
    }),
  )
}

type Browsed = {
  readonly pdp: {
    readonly app: {
      readonly request: (url: string, init: RequestInit) => Response | Promise<Response>
    }
  }
  readonly idp: Pick<Idp, 'login'>
  readonly as: Pick<AuthorizationServer, 'login'>
}

export function openBrowser({ pdp, idp, as }: Browsed): Browser {
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
