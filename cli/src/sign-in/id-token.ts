// Owns getting an ID token for whoever types from the company's identity provider: in the browser, or by a code typed on
// another device. Never judges who they are: the PDP does.
import {
  AuthorizationResponseError,
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  ClientError,
  type Configuration,
  calculatePKCECodeChallenge,
  discovery,
  initiateDeviceAuthorization,
  None,
  pollDeviceAuthorizationGrant,
  ResponseBodyError,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
} from 'openid-client'
import type { LoginInfo } from '../../../schemas/admin-api.ts'
import { SIGN_IN_WAIT_MS } from '../../../schemas/limits.ts'
import { CommandError } from '../errors.ts'
import { requireSafe } from '../gateway.ts'
import { printable } from '../output.ts'
import type { Loopback } from './loopback.ts'

export type SignIn = {
  /** Where the PDP says that operators sign in. */
  readonly login: LoginInfo
  /** Prefer the device flow: asked for (`option`), or because no browser of this machine can be seen (`remote`). */
  readonly device: 'option' | 'remote' | undefined
  /** Waits for the browser to come back with this state. */
  readonly listen: (state: string) => Promise<Loopback>
  readonly say: (line: string) => void
  readonly open: (url: string) => void
}

/** Throws CommandError when the provider refuses, cannot be reached or answers what it may not. */
export async function fetchIdToken(asked: SignIn): Promise<string> {
  const { issuer } = asked.login
  try {
    const provider = await discover(asked.login)
    const idToken = await byDeviceOrBrowser(provider, asked)
    if (idToken !== undefined) return idToken
  } catch (cause) {
    if (cause instanceof CommandError) throw cause
    throw new CommandError(`sign-in at ${issuer} failed: ${printable(reason(cause))}`, { cause })
  }
  throw new CommandError(`${issuer} gave no ID token`, {
    hint: 'the `scope` of the login file must hold `openid`',
  })
}

/** Authorization server metadata; every address a person or their code is sent to is https, or on this machine. */
async function discover({ issuer, clientId }: LoginInfo): Promise<Configuration> {
  const url = requireSafe(issuer, 'the identity provider')
  const execute = url.protocol === 'http:' ? [allowInsecureRequests] : []
  const provider = await discovery(url, clientId, undefined, None(), { execute })
  const found = provider.serverMetadata()
  for (const endpoint of [
    found.authorization_endpoint,
    found.token_endpoint,
    found.device_authorization_endpoint,
  ])
    if (endpoint !== undefined) requireSafe(endpoint, issuer)
  return provider
}

async function byDeviceOrBrowser(
  provider: Configuration,
  asked: SignIn,
): Promise<string | undefined> {
  const offered = provider.serverMetadata().device_authorization_endpoint !== undefined
  if (asked.device === 'option' && !offered) {
    throw new CommandError(`${asked.login.issuer} has no device flow`, {
      hint: 'run it without --device',
    })
  }
  if (asked.device === 'remote' && offered)
    asked.say(
      'this is an SSH session, where no browser can come back to: signing in by a code; --no-device uses a browser',
    )
  if (asked.device !== undefined && offered) return byDevice(provider, asked)
  const state = randomState()
  const loopback = await asked.listen(state).catch((cause: unknown) => {
    if (!offered) throw cause
    asked.say(`nothing can listen on 127.0.0.1 (${reason(cause)}): signing in by a code`)
  })
  return loopback === undefined
    ? byDevice(provider, asked)
    : byBrowser(provider, asked, state, loopback)
}

/** Authorization code with PKCE (RFC 7636), state, nonce, and the issuer in the answer (RFC 9207) where there is one. */
async function byBrowser(
  provider: Configuration,
  { login, say, open }: SignIn,
  state: string,
  { redirectUri, callback, close }: Loopback,
): Promise<string | undefined> {
  try {
    const pkceCodeVerifier = randomPKCECodeVerifier()
    const nonce = randomNonce()
    const url = buildAuthorizationUrl(provider, {
      redirect_uri: redirectUri,
      scope: login.scope,
      state,
      nonce,
      code_challenge: await calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: 'S256',
    }).href
    say(`sign in with your browser:\n\n  ${printable(url)}\n`)
    open(url)
    const tokens = await authorizationCodeGrant(provider, await callback, {
      expectedState: state,
      expectedNonce: nonce,
      pkceCodeVerifier,
    })
    return tokens.id_token
  } finally {
    close()
  }
}

/** RFC 8628. The interval, `slow_down` and the end of the code are the library's. */
async function byDevice(
  provider: Configuration,
  { login, say }: SignIn,
): Promise<string | undefined> {
  const started = await initiateDeviceAuthorization(provider, { scope: login.scope })
  const { verification_uri: page, verification_uri_complete: filled, user_code: code } = started
  say(`open  ${printable(page)}\ncode  ${printable(code)}`)
  if (filled !== undefined) say(`or    ${printable(filled)}`)
  const waitMs = Math.min(started.expires_in * 1_000, SIGN_IN_WAIT_MS)
  const signal = AbortSignal.timeout(waitMs)
  const tokens = await pollDeviceAuthorizationGrant(provider, started, undefined, { signal })
  return tokens.id_token
}

/** One line: what the provider said, or what is wrong with what it said. */
function reason(cause: unknown): string {
  if (cause instanceof AuthorizationResponseError || cause instanceof ResponseBodyError) {
    const { error, error_description: description } = cause
    return description === undefined ? error : `${error} (${description})`
  }
  if (cause instanceof ClientError && cause.cause instanceof Error)
    return `${cause.message}: ${cause.cause.message}`
  return cause instanceof Error ? cause.message : String(cause)
}
