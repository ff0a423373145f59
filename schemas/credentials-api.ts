// Owns the wire of `/admin/v1/credentials*` and `/admin/v1/credential-keys*`: secrets go in and never come out.
import { z } from 'zod'
import {
  basicSecret,
  CREDENTIAL_KINDS,
  credentialHeader,
  credentialVariable,
  headerSecret,
  variableSecret,
} from './credentials.ts'
import { serverId, subjectId } from './identifiers.ts'
import { ROWS_PAGE_MAX } from './limits.ts'
import { storedText } from './stored-text.ts'

/**
 * One secret. `header` and `env` are added to what the credential holds under other names. `client`: the secret of an
 * OAuth client of ours; `clientId` may be left out where server.yaml names it.
 */
export const givenSecret = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('header'), name: credentialHeader, value: headerSecret }),
  z.strictObject({ kind: z.literal('bearer'), value: headerSecret }),
  z.strictObject({ kind: z.literal('basic'), value: basicSecret }),
  z.strictObject({ kind: z.literal('env'), name: credentialVariable, value: variableSecret }),
  z.strictObject({
    kind: z.literal('client'),
    clientId: z.string().min(1).max(512).optional(),
    value: headerSecret,
  }),
])
export type GivenSecret = z.infer<typeof givenSecret>

const owner = { server: serverId, user: subjectId.nullable() }

/** `PUT /admin/v1/credentials`, answered by a credentialRow. `user` null: the deployment's. */
export const credentialRequest = z.strictObject({ ...owner, secret: givenSecret })
export type CredentialRequest = z.infer<typeof credentialRequest>
/** The same without what must not be recorded. */
export const credentialAct = z.object({
  ...owner,
  secret: z.object({
    kind: z.string(),
    name: z.string().optional(),
    clientId: z.string().optional(),
  }),
})

/**
 * `POST /admin/v1/credentials/:id/rotate`, answered by a credentialRow of the next version: a new secret in the place of
 * one of the same kind and name; without one, an OAuth credential gets a new access token.
 */
export const rotateRequest = z.strictObject({ secret: givenSecret.optional() })
export type RotateRequest = z.infer<typeof rotateRequest>
export const rotateAct = z.object({ secret: credentialAct.shape.secret.optional() })

/**
 * `ok`, or why it cannot be used: `reconnect` (the authorization server takes it no more: connect or set it anew),
 * `refused` (the server answered 401 to it), `undeclared` (server.yaml wants another kind, or none), `locked` (no key of the
 * PDP that answers opens it; in lists alone).
 */
export const CREDENTIAL_STATES = ['ok', 'reconnect', 'refused', 'undeclared', 'locked'] as const

export const credentialRow = z.strictObject({
  id: z.uuid(),
  server: z.string(),
  /** Null: the deployment's. */
  user: z.string().nullable(),
  /** `client`: what the gateway is registered with at the authorization server of this server. */
  kind: z.enum([...CREDENTIAL_KINDS, 'client']),
  /** Headers or variables it holds. */
  names: z.array(z.string()),
  version: z.int(),
  state: z.enum(CREDENTIAL_STATES),
  /** Of an OAuth credential. */
  issuer: z.string().nullable(),
  scopes: z.array(z.string()).nullable(),
  /** Of the access token. */
  expiresAt: z.iso.datetime().nullable(),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
  /** When it was last released with an allow, a minute coarse; null until it was. */
  lastUsedAt: z.iso.datetime().nullable(),
  /** Key-encryption key it is wrapped by. */
  key: z.string(),
})
export type CredentialRow = z.infer<typeof credentialRow>

/** `GET /admin/v1/credentials`, by server, then user, the deployment's first. `after`: the last id of the page before. */
export const credentialsQuery = z.strictObject({
  server: storedText.optional(),
  user: storedText.optional(),
  limit: z.coerce.number().int().min(1).max(ROWS_PAGE_MAX).default(200),
  after: z.uuid().optional(),
})
export type CredentialsQuery = z.infer<typeof credentialsQuery>
export const credentialsPage = z.strictObject({ credentials: z.array(credentialRow) })

/** `POST /admin/v1/credentials/:id/test`: whether it could be released now. `problem`: why not, and the fix. */
export const testedCredential = z.strictObject({
  id: z.uuid(),
  server: z.string(),
  user: z.string().nullable(),
  version: z.int(),
  ok: z.boolean(),
  problem: z.string().nullable(),
})
export type TestedCredential = z.infer<typeof testedCredential>

/** `DELETE /admin/v1/credentials/:id`. */
export const removedCredential = z.strictObject({
  id: z.uuid(),
  server: z.string(),
  user: z.string().nullable(),
})

/** `GET /admin/v1/credentials/link?server=&user=`: the page where somebody connects an account; it carries no authority. */
export const connectQuery = z.strictObject({ server: serverId, user: subjectId.optional() })
export const connectLink = z.strictObject({
  url: z.string(),
  server: z.string(),
  user: z.string().nullable(),
})
export type ConnectLink = z.infer<typeof connectLink>

/** `GET /admin/v1/credential-keys`: the key-encryption keys this PDP has, and how many credentials each wraps. */
export const credentialKeys = z.strictObject({
  /** Where they come from: a path, or `environment`. */
  source: z.string(),
  /** The key that wraps what is new; null: there is none. */
  current: z.string().nullable(),
  keys: z.array(z.strictObject({ id: z.string(), known: z.boolean(), credentials: z.int() })),
})
export type CredentialKeys = z.infer<typeof credentialKeys>

/** A line of `POST /admin/v1/credential-keys/rewrap` (NDJSON); the last one has `finished`. `failed`: ids left as they were. */
export const rewrapLine = z.strictObject({
  key: z.string(),
  done: z.int(),
  total: z.int(),
  failed: z.array(z.uuid()),
  finished: z.boolean(),
})
export type RewrapLine = z.infer<typeof rewrapLine>
