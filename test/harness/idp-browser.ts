// Owns what a person's browser and an OAuth client do at the provider of idp.ts: redirects, cookies, forms, the token
// endpoint. One browser a sign-in: nobody stays signed in.
import { createHash, randomBytes } from 'node:crypto'
import type { Tokens } from './idp.ts'

export type Account = {
  readonly groups?: readonly string[]
  readonly email?: string
  /** Default true. */
  readonly emailVerified?: boolean
  /** More claims. */
  readonly claims?: Readonly<Record<string, unknown>>
}

export type Browser = {
  /**
   * Opens the authorization URL, signs `account` in, and follows redirects until one leaves the provider: answers that
   * URL, which nobody has visited yet.
   */
  readonly login: (account: string, authorizationUrl: string) => Promise<string>
  readonly approveDevice: (account: string, url: string) => Promise<void>
  readonly tokens: (asked: CodeAsked) => Promise<Tokens>
  /** One request of the token endpoint. Throws with what it answered when that is an error. */
  readonly token: (form: Readonly<Record<string, string>>, client: Client) => Promise<Tokens>
}

type Client = { readonly id: string; readonly secret?: string }
type CodeAsked = {
  readonly account: string
  readonly client: string
  readonly scope: string
  readonly resource?: string
  readonly nonce?: string
}

const REDIRECT = 'http://127.0.0.1:8976/callback'
const REDIRECTS_MAX = 12

export function openBrowser(issuer: string): Browser {
  const browser: Browser = {
    async login(account, authorizationUrl) {
      const visit = newVisit(account)
      const last = await visit.follow(authorizationUrl, issuer)
      if (last.away === undefined) throw new Error(`the provider says ${last.text}`)
      return last.away
    },
    async approveDevice(account, url) {
      const visit = newVisit(account)
      const asked = await visit.follow(url, issuer)
      const confirm = await visit.submit(asked.text, issuer)
      const done = await visit.submit(confirm.text, issuer)
      if (done.text !== 'signed in') throw new Error(`the provider says ${done.text}`)
    },
    async tokens({ account, client, ...params }) {
      const verifier = randomBytes(32).toString('base64url')
      const url = new URL('/auth', issuer)
      url.search = new URLSearchParams({
        ...params,
        client_id: client,
        response_type: 'code',
        redirect_uri: REDIRECT,
        code_challenge: createHash('sha256').update(verifier).digest('base64url'),
        code_challenge_method: 'S256',
      }).toString()
      const callback = new URL(await browser.login(account, url.href))
      const code = callback.searchParams.get('code') ?? ''
      if (code === '') throw new Error(`the provider says ${callback.search}`)
      const form = { grant_type: 'authorization_code', code, redirect_uri: REDIRECT }
      const { resource } = params
      const audience: Record<string, string> = resource === undefined ? {} : { resource }
      return await browser.token({ ...form, code_verifier: verifier, ...audience }, { id: client })
    },
    async token(form, { id, secret }) {
      const basic = `Basic ${Buffer.from(`${id}:${secret ?? ''}`).toString('base64')}`
      const response = await fetch(`${issuer}/token`, {
        method: 'POST',
        headers: secret === undefined ? {} : { authorization: basic },
        body: new URLSearchParams(secret === undefined ? { ...form, client_id: id } : form),
      })
      if (!response.ok) throw new Error(`the provider says ${await response.text()}`)
      return (await response.json()) as Tokens
    },
  }
  return browser
}

type Page = { readonly text: string; readonly away: string | undefined }

function newVisit(account: string) {
  const cookies = new Map<string, string>()
  async function request(url: URL, init: RequestInit = {}): Promise<Response> {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const headers = { cookie, 'x-test-account': account }
    const response = await fetch(url, { ...init, headers, redirect: 'manual' })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value === '') cookies.delete(name)
      else cookies.set(name, value)
    }
    return response
  }
  async function follow(from: string, issuer: string, init: RequestInit = {}): Promise<Page> {
    let url = new URL(from, issuer)
    let response = await request(url, init)
    for (let count = 0; count < REDIRECTS_MAX; count++) {
      const location = response.headers.get('location')
      if (location === null) return { text: await response.text(), away: undefined }
      url = new URL(location, url)
      if (url.origin !== issuer) return { text: '', away: url.href }
      response = await request(url)
    }
    throw new Error('the provider redirects without an end')
  }
  /** Sends the one form of a page. */
  function submit(page: string, issuer: string): Promise<Page> {
    const inputs = page.matchAll(/<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"/g)
    const fields = [...inputs].map(([, name = '', value = '']): [string, string] => [name, value])
    const action = /action="([^"]+)"/.exec(page)?.[1]
    if (action === undefined) throw new Error(`the provider shows no form: ${page}`)
    return follow(action, issuer, { method: 'POST', body: new URLSearchParams(fields) })
  }
  return { follow, submit }
}
