// Owns signing a person in at the identity provider of the login file, in their browser. Answers an ID token; whose it is
// and whether it counts is judged elsewhere.
import { privateOrigins } from '../../../../schemas/dial.ts'
import { OAUTH_ANSWER_BYTES_MAX } from '../../../../schemas/limits.ts'
import type { Clock } from '../../../../schemas/ports.ts'
import { boundedFetch } from '../../egress/bounded.ts'
import type { Dialer } from '../../egress/dialer.ts'
import { authorizationUrl, exchangeCode, newPending, type Pending } from './code-flow.ts'
import { authMethodOf } from './configuration.ts'
import { metadataOf, withTimeout } from './discover.ts'
import { openHeld } from './held.ts'
import { OauthError, oauthErrorOf } from './oauth-error.ts'
import { assertSafe } from './stated-origins.ts'

/** Our web client at the identity provider. `clientSecret` null: a public client. */
export type WebClient = {
  readonly issuer: string
  /** Whether its name may lead to a private address. */
  readonly private: boolean
  readonly clientId: string
  readonly clientSecret: string | null
  readonly scope: string
}

export type IdpSignIn = {
  readonly begin: () => Promise<{ readonly url: string; readonly pending: Pending }>
  /** The ID token, made for this sign-in (nonce); its signature is not checked. Rejects with OauthError. */
  readonly finish: (query: string, pending: Pending) => Promise<string>
}

type Ports = {
  readonly web: WebClient
  readonly redirectUri: string
  readonly dial: Dialer
  readonly clock: Pick<Clock, 'monotonic'>
}

export function openIdpSignIn({ web, redirectUri, dial, clock }: Ports): IdpSignIn {
  const { issuer, clientId, clientSecret, scope } = web
  const origins = privateOrigins([issuer], web.private)
  const bounded = boundedFetch(dial(origins), OAUTH_ANSWER_BYTES_MAX)
  const held = openHeld<Awaited<ReturnType<typeof lookUp>>>(clock, 1)
  const provider = () => held(issuer, lookUp)
  return {
    async begin() {
      const { at, client } = await provider()
      const pending = newPending()
      const { nonce } = pending
      const url = await authorizationUrl(at, client, pending, {
        redirectUri,
        scope,
        more: { nonce },
      })
      return { url: url.href, pending }
    },
    async finish(query, pending) {
      const { at, client } = await provider()
      const { nonce } = pending
      const came = { redirectUri, query, pending, nonce, more: {} }
      const answer = await exchangeCode(at, client, came).catch((error: unknown) => {
        throw oauthErrorOf(error, `signing in at ${issuer}`)
      })
      if (answer.id_token === undefined) throw new OauthError(`${issuer} gave no ID token`)
      return answer.id_token
    },
  }

  async function lookUp() {
    const metadata = await metadataOf(withTimeout(bounded), issuer)
    for (const endpoint of [metadata.authorization_endpoint, metadata.token_endpoint])
      if (endpoint !== undefined) assertSafe(endpoint, origins, `an endpoint of ${issuer}`)
    // Not asked whether it says that it takes PKCE: some do and do not say so, and the nonce binds its ID token.
    if (metadata.authorization_endpoint === undefined)
      throw new OauthError(`${issuer} has no authorization endpoint`)
    const authMethod = authMethodOf(metadata, clientSecret)
    return { at: { metadata, reach: bounded }, client: { clientId, clientSecret, authMethod } }
  }
}
