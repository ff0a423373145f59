// Owns what a credential holds once it is decrypted, and what of it goes to a server. Pure; nothing here may be logged.
import { z } from 'zod'

/** An OAuth client of ours at one authorization server. `clientSecret` null: a public client. */
export const oauthClient = z.strictObject({
  issuer: z.string(),
  clientId: z.string(),
  clientSecret: z.string().nullable(),
  /** RFC 8414 token_endpoint_auth_method it was registered with. */
  authMethod: z.enum(['none', 'client_secret_basic', 'client_secret_post']),
})
export type OauthClient = z.infer<typeof oauthClient>

/** `expiresAt`: ms since 1970, of our clock. */
export const oauthToken = z.strictObject({
  accessToken: z.string(),
  refreshToken: z.string().nullable(),
  expiresAt: z.number(),
  scope: z.string().nullable(),
})
export type OauthToken = z.infer<typeof oauthToken>

/**
 * `client`: of a server whose users or operators connect accounts. A token is only good for the client that got it, so it
 * stands beside it.
 */
export const secret = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('header'), values: z.record(z.string(), z.string()) }),
  z.strictObject({ kind: z.literal('bearer'), value: z.string() }),
  z.strictObject({ kind: z.literal('basic'), value: z.string() }),
  z.strictObject({ kind: z.literal('env'), values: z.record(z.string(), z.string()) }),
  z.strictObject({
    kind: z.literal('client'),
    issuer: z.string(),
    clientId: z.string(),
    clientSecret: z.string().nullable(),
    authMethod: oauthClient.shape.authMethod.nullable(),
    /** How we came by it. */
    by: z.enum(['operator', 'registration']),
  }),
  z.strictObject({
    kind: z.literal('client_credentials'),
    issuer: z.string(),
    clientId: z.string(),
    clientSecret: z.string(),
    token: oauthToken.nullable(),
  }),
  z.strictObject({
    kind: z.literal('oauth'),
    client: oauthClient,
    resource: z.string(),
    token: oauthToken,
  }),
])
export type Secret = z.infer<typeof secret>

/** What is sealed. `to`: where it may be sent (destination.ts), so that a server.yaml with another `url` does not get it. */
export const keptSecret = z.strictObject({ to: z.string(), secret })
export type KeptSecret = z.infer<typeof keptSecret>
export type ClientSecret = Extract<Secret, { kind: 'client' }>
export type ConnectedSecret = Extract<Secret, { kind: 'oauth' }>
export type RenewableSecret = ConnectedSecret | Extract<Secret, { kind: 'client_credentials' }>

/** Whether it holds an access token that ends. Of secrets, and of their rows. */
export function isRenewable<Of extends { readonly kind: string }>(
  of: Of,
): of is Of & { readonly kind: RenewableSecret['kind'] } {
  return of.kind === 'oauth' || of.kind === 'client_credentials'
}

/** The authorization server it may go to, for good: it stands beside it in the ciphertext, and the row's own word is not asked. */
export function sealedIssuer(of: Secret): string | undefined {
  if (of.kind === 'oauth') return of.client.issuer
  return 'issuer' in of ? of.issuer : undefined
}

/** What a connected account is for: nothing of it is secret. */
export type Binding = {
  readonly resource: string
  readonly client: Pick<OauthClient, 'issuer' | 'clientId'>
}

export function bindingOf(of: Secret): Binding | undefined {
  if (of.kind !== 'oauth') return undefined
  const { resource, client } = of
  const { issuer, clientId } = client
  return { resource, client: { issuer, clientId } }
}
