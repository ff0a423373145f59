// Owns what a bundle may say of the secret that a server wants from the gateway, and what is handed to a PEP of one. The
// secret itself stands nowhere here: it lives encrypted in the database of the PDP. No I/O.
import { z } from 'zod'
import { isHttpsOrLoopback } from './hosts.ts'
import {
  CREDENTIAL_NAMES_MAX,
  CREDENTIAL_SECRET_LENGTH_MAX,
  CREDENTIAL_SECRET_LENGTH_MIN,
} from './limits.ts'

/**
 * Headers that a credential must not be sent in: they frame or route the message, or say what it is. Besides them all
 * that begin with `mcp-`.
 */
const RESERVED_HEADERS: ReadonlySet<string> = new Set([
  'host', 'connection', 'content-length', 'content-type', 'content-encoding', 'transfer-encoding', 'te', 'trailer',
  'upgrade', 'expect', 'keep-alive', 'accept', 'accept-encoding', 'last-event-id', 'traceparent', 'tracestate',
]) // biome-ignore format: a list

const HEADER = /^[\w!#$%&'*+.^`|~-]{1,64}$/

function isReservedHeader(name: string): boolean {
  return RESERVED_HEADERS.has(name) || name.startsWith('mcp-')
}

/** A header a credential may be sent in (RFC 9110 token), in lower case. */
export const credentialHeader = z
  .string()
  .regex(HEADER, { error: 'must be the name of an HTTP header' })
  .transform((name) => name.toLowerCase())
  .refine((name) => !isReservedHeader(name), { error: "this header is the gateway's own" })

/** Whether `name` is what `credentialHeader` answers. */
export function isCredentialHeader(name: string): boolean {
  return HEADER.test(name) && name === name.toLowerCase() && !isReservedHeader(name)
}

/** Variables that say how a process is run, not who it is: a credential must not be one of them. */
const RESERVED_VARIABLES =
  /^(?:PATH|HOME|LANG|TMPDIR|PORT|NODE_OPTIONS|LD_.*|DYLD_.*|CEDARGATE_.*)$/

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/

/** An environment variable a credential may be given in. */
export const credentialVariable = z
  .string()
  .regex(VARIABLE, { error: 'must be the name of an environment variable' })
  .refine((name) => !RESERVED_VARIABLES.test(name), {
    error: 'this variable says how the server is run',
  })

/** Whether `credentialVariable` takes `name`. */
export function isCredentialVariable(name: string): boolean {
  return VARIABLE.test(name) && !RESERVED_VARIABLES.test(name)
}

/** Whose secret it is: one for all, one for each person, or a person's own where there is one. */
export const CREDENTIAL_OWNERS = ['deployment', 'user', 'either'] as const
export type CredentialOwner = (typeof CREDENTIAL_OWNERS)[number]

const per = z.enum(CREDENTIAL_OWNERS).default('deployment')
/** false: without one the call goes on without. One that is there and cannot be used refuses it all the same. */
const required = z.boolean().default(true)

const url = z.string().max(512).refine(isHttpsOrLoopback, {
  error: 'must be an https URL, or http on loopback',
})
export const oauthScopes = z
  .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/, { error: 'must be an OAuth scope' }))
  .max(64)

const oauth = {
  /** Default: as the server's own metadata says (RFC 9728). */
  issuer: url.optional().describe('the authorization server, exactly as it names itself'),
  scopes: oauthScopes
    .optional()
    .describe('what is asked for; default: what the server says it needs'),
  resource: url
    .optional()
    .describe(
      'the resource indicator (RFC 8707); default: as the server says (RFC 9728), else `url`',
    ),
  private: z
    .boolean()
    .default(false)
    .describe('whether the name of `issuer` may lead to a private address'),
}

/** server.yaml `credential`: what the gateway adds to a call that was allowed. */
export const credentialDeclaration = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('header'),
    /** Default: those that are set. */
    names: z.array(credentialHeader).min(1).max(CREDENTIAL_NAMES_MAX).optional(),
    per,
    required,
  }),
  z.strictObject({ kind: z.literal('bearer'), per, required }),
  /** The secret is `user:password`. */
  z.strictObject({ kind: z.literal('basic'), per, required }),
  /** For stdio servers. */
  z.strictObject({
    kind: z.literal('env'),
    names: z.array(credentialVariable).min(1).max(CREDENTIAL_NAMES_MAX).optional(),
    per,
    required,
  }),
  /** OAuth 2.1 client credentials: the gateway is the client, for itself. */
  z.strictObject({ kind: z.literal('client_credentials'), ...oauth, required }),
  /** OAuth 2.1 authorization code: somebody has connected their account, or the deployment's. */
  z.strictObject({
    kind: z.literal('oauth'),
    ...oauth,
    /** Default: the gateway presents its client metadata document, or registers itself. */
    clientId: z
      .string()
      .min(1)
      .max(512)
      .optional()
      .describe('of a client that is registered there'),
    per: z.enum(['deployment', 'user']).default('user'),
    required,
  }),
])
export type CredentialDeclaration = z.infer<typeof credentialDeclaration>
export const CREDENTIAL_KINDS = [
  'header', 'bearer', 'basic', 'env', 'client_credentials', 'oauth',
] as const // biome-ignore format: a list
export type CredentialKind = (typeof CREDENTIAL_KINDS)[number]

export function ownerOf(declaration: CredentialDeclaration): CredentialOwner {
  return declaration.kind === 'client_credentials' ? 'deployment' : declaration.per
}

/**
 * A secret as it is set. What is shorter could not be told from other text when a server's answer is searched for it;
 * what travels in a header holds visible ASCII, and spaces within.
 */
export const secretText = z
  .string()
  .min(CREDENTIAL_SECRET_LENGTH_MIN, {
    error: `must have at least ${CREDENTIAL_SECRET_LENGTH_MIN} characters`,
  })
  .max(CREDENTIAL_SECRET_LENGTH_MAX, {
    error: `must have at most ${CREDENTIAL_SECRET_LENGTH_MAX} characters`,
  })
const HEADER_TEXT = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/
export const headerSecret = secretText.regex(HEADER_TEXT, {
  error: 'must be visible ASCII characters on one line',
})
/** Whether a header can carry `text` as it is. */
export function isHeaderText(text: string): boolean {
  return HEADER_TEXT.test(text)
}
/** RFC 7617: the name of the user holds no colon. */
export const basicSecret = headerSecret.refine(
  (text) => text.indexOf(':') > 0 && text.length - text.indexOf(':') > CREDENTIAL_SECRET_LENGTH_MIN,
  {
    error: `must be user:password, the password of at least ${CREDENTIAL_SECRET_LENGTH_MIN} characters`,
  },
)
/** Bytes that a process can be given: no NUL. */
export const variableSecret = secretText.refine(isVariableText, {
  error: 'must be text without NUL',
})
export function isVariableText(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed()
}

/**
 * What a PEP is handed with an allow, and with nothing else. `headers` go to the server with this call, `env` to the
 * process of the session it opens. `secrets`: every text that must not come back, those of `headers` and `env` included.
 */
export const releasedCredential = z.strictObject({
  id: z.uuid(),
  version: z.int().positive(),
  headers: z.record(z.string(), z.string()),
  env: z.record(z.string(), z.string()),
  secrets: z.array(z.string()),
})
export type ReleasedCredential = z.infer<typeof releasedCredential>
