// Owns the files of a policy bundle as a platform team writes them: gateway.yaml, server.yaml, tools.lock.json.
// Unknown keys are errors everywhere: a misspelt setting must not look like a default.
import { z } from 'zod'
import { type CredentialDeclaration, credentialDeclaration, ownerOf } from './credentials.ts'
import { durationSetting } from './duration.ts'
import { variablesIn } from './expand.ts'
import { isHttpsOrLoopback, isLoopbackUrl } from './hosts.ts'
import { OWN_AGENT, serverId, sha256Hex, subjectId } from './identifiers.ts'
import { TOOL_NAME_LENGTH_MAX } from './limits.ts'
import type { Upstream } from './pep-api.ts'
import { covers } from './resource.ts'
import { SCOPES, scopes } from './scopes.ts'

/** `ssh-ed25519 AAAA…` as in an allowed-signers file, or the 40 or 64 hex digits of an OpenPGP key. */
const signer = z
  .string()
  .regex(
    /^(?:(?:ssh-|ecdsa-sha2-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}(?: [^\n]*)?|[0-9A-F]{40}|[0-9A-F]{64})$/,
    'an SSH public key (`ssh-ed25519 AAAA…`) or an OpenPGP fingerprint in upper-case hex',
  )

const OWNED = { error: 'must be "*" or a list of server ids' }

export const httpsOrLoopback = z.string().max(512).refine(isHttpsOrLoopback, {
  error: 'must be an https URL, or http on loopback',
})

/** What access tokens of one client of the identity provider are good for, at most. */
const identityClient = z.strictObject({
  agent: subjectId
    .refine((id) => id !== OWN_AGENT, { error: `the agent id ${OWN_AGENT} is the gateway's own` })
    .describe('the agent that this client is'),
  servers: z.array(serverId).min(1).max(64),
  scopes: scopes.default([...SCOPES]),
  headless: z
    .boolean()
    .default(false)
    .describe('it acts for nobody (client credentials): its tokens name no person'),
  firstUse: z
    .boolean()
    .default(true)
    .describe('whether its first token of a person makes their grant; else an admin does'),
  expires: durationSetting.default('90d').describe('how long such a grant lives'),
})

/** One identity provider whose JWT access tokens are taken. */
const identityIssuer = z
  .strictObject({
    issuer: httpsOrLoopback.describe('exactly as `iss` says it'),
    audience: z
      .string()
      .min(1)
      .describe('what `aud` must hold: this gateway, as the provider calls it'),
    jwksUri: httpsOrLoopback.optional().describe('default: as its discovery document says'),
    private: z
      .boolean()
      .default(false)
      .describe('whether the names of `issuer` and `jwksUri` may lead to private addresses'),
    userClaim: z
      .string()
      .regex(/^[\w.:/-]{1,128}$/)
      .default('sub')
      .describe('claim that is the user id here; `email` counts with `email_verified` alone'),
    teamsClaim: z
      .string()
      .regex(/^[\w.:/-]{1,128}$/)
      .default('groups'),
    teams: z
      .record(z.string().min(1).max(256), subjectId)
      .default({})
      .describe('value of teamsClaim → team; values that are not here count for nothing'),
    clients: z
      .record(z.string().min(1).max(256), identityClient)
      .default({})
      .describe('`azp` (or `client_id`) of an access token → what it may be used for'),
  })
  .refine(({ audience, clients }) => !Object.hasOwn(clients, audience), {
    error: '`audience` is one of `clients`: the ID tokens of that client would be access tokens',
  })
export type IdentityIssuer = z.infer<typeof identityIssuer>
export type IdentityClient = z.infer<typeof identityClient>

const identity = z
  .strictObject({ issuers: z.array(identityIssuer).max(16).default([]) })
  .refine(({ issuers }) => new Set(issuers.map(({ issuer }) => issuer)).size === issuers.length, {
    error: 'an issuer stands here twice',
  })
export type Identity = z.infer<typeof identity>

/** gateway.yaml */
export const gatewayFile = z.strictObject({
  name: z.string().min(1).max(128).describe('shown to people in refusals and in the CLI'),
  access: z
    .string()
    .max(512)
    .default('ask your platform team')
    .describe('how to get access, added to refusals'),
  maxBundleAge: durationSetting
    .default('7d')
    .describe(
      'how long the last good bundle decides after its source was last confirmed: 30m, 12h, 7d',
    ),
  requireSignedBy: z
    .array(signer)
    .max(64)
    .default([])
    .describe('a commit must be signed by one of these: SSH public keys, OpenPGP fingerprints'),
  trustRequestProperties: z
    .boolean()
    .default(false)
    .describe('whether the properties that AuthZEN callers state count for the bundle’s own types'),
  identity: identity.default({ issuers: [] }).describe('whose access tokens agents may come with'),
  owners: z
    .record(z.string(), z.union([z.literal('*'), z.array(serverId)], OWNED))
    .optional()
    .describe('policy prefix (the part of @id before `/`) → the servers its policies may be about'),
})
export type GatewayFile = z.infer<typeof gatewayFile>

const suffix = z.string().regex(/^[a-z_]{1,32}$/)

/** Top-level arguments; a tool that lacks one, or has it with a type that does not fit, is unaffected. */
const derivedArguments = z.array(z.string()).min(1)

/**
 * What `derive` computes from an argument before Cedar sees it: `path` becomes `path_normalised` by the default
 * suffix. Of an array of strings each attribute is a set.
 */
export const derivation = z.discriminatedUnion('kind', [
  /**
   * POSIX, resolved against `root`, `..` gone. Of an array, which policies cannot go through,
   * `<argument><suffix>_within` is the set of directories that hold every path.
   */
  z.strictObject({
    kind: z.literal('path'),
    arguments: derivedArguments,
    /** Absolute directory that relative paths start from; `${NAME}` is expanded as in `url`. */
    root: z.string().min(1),
    suffix: suffix.default('_normalised'),
  }),
  /** The host of an http, https, ws or wss URL. */
  z.strictObject({
    kind: z.literal('url_host'),
    arguments: derivedArguments,
    suffix: suffix.default('_host'),
  }),
  /** The domain of one plain e-mail address. */
  z.strictObject({
    kind: z.literal('email_domain'),
    arguments: derivedArguments,
    suffix: suffix.default('_domain'),
  }),
  /** How many elements an array has, duplicates included. */
  z.strictObject({
    kind: z.literal('count'),
    arguments: derivedArguments,
    suffix: suffix.default('_count'),
  }),
])
export type Derivation = z.infer<typeof derivation>

/**
 * Whose server it is. Of an `internal` one the annotations may lower what the risk rules say of a tool; of the others
 * they only raise it.
 */
export const TRUST = ['internal', 'vendor', 'untrusted'] as const
export type Trust = (typeof TRUST)[number]

/**
 * servers/<id>/server.yaml. Either `url` (Streamable HTTP, or HTTP+SSE with `transport: sse`), or `command` (stdio), or both: a command that serves
 * Streamable HTTP at that url, on loopback alone, started by the PEP, where `${PORT}` is a free port.
 * `${NAME}` in url, args, env, cwd and root is expanded by the service that uses it, for PORT, CEDARGATE_HOME and
 * names that begin with CEDARGATE_SERVER_, never for another variable.
 */
export const serverFile = z
  .strictObject({
    url: z.string().optional(),
    /** `sse`: the url is the event stream of the HTTP+SSE transport of 2024-11-05. */
    transport: z.enum(['http', 'sse']).default('http'),
    command: z.string().optional(),
    args: z.array(z.string()).default([]),
    env: z.record(z.string(), z.string()).default({}),
    cwd: z.string().optional(),
    derive: z.array(derivation).default([]),
    /**
     * What a person reads who calls a tool that is not listed for them: `explain` says that no policy permits it,
     * `unknown` what a tool would answer that does not exist.
     */
    concealment: z.enum(['explain', 'unknown']).default('explain'),
    /** Tools whose calls may hold arguments that no definition declares; policies see them in `argsMeta.unknown`. */
    allowUnknown: z.array(z.string()).default([]),
    trust: z.enum(TRUST).default('vendor'),
    /** Whether models get to read the `instructions` of the server, which nobody reviews. */
    instructions: z.enum(['pass', 'withhold']).default('withhold'),
    /** Of a stdio server in a sandbox: the only directories it may write below. Default: as its OS user may. */
    writable: z.array(z.string()).optional(),
    /** Whether the name in `url` may lead to a private address. One that is written as such, and localhost, may. */
    private: z.boolean().default(false),
    /** What the gateway authenticates with at this server. Default: nothing. */
    credential: credentialDeclaration.optional(),
  })
  .refine((file) => file.url !== undefined || file.command !== undefined, {
    error: 'set `url`, `command` or both',
  })
  .refine(
    (file) =>
      file.command !== undefined || (file.args.length === 0 && Object.keys(file.env).length === 0),
    {
      error: '`args` and `env` need a `command`',
    },
  )
  .refine(({ command, url }) => command === undefined || url === undefined || isLocal(url), {
    error:
      '`url` of a `command` must be on this machine: http://127.0.0.1:${PORT}/…; a server that runs elsewhere has no `command`',
  })
  .refine((file) => file.transport === 'http' || file.url !== undefined, {
    error: '`transport: sse` needs a `url`',
  })
  .refine((file) => file.writable === undefined || file.url === undefined, {
    error: '`writable` is for stdio servers: a `command` without a `url`',
  })
  .refine((file) => file.credential?.kind !== 'env' || file.url === undefined, {
    error: '`credential: env` is for stdio servers: a `command` without a `url`',
  })
  .refine((file) => [undefined, 'env'].includes(file.credential?.kind) || file.url !== undefined, {
    error: 'this kind of `credential` needs a `url`; a stdio server takes `kind: env`',
  })
  .refine(({ credential, url = '' }) => variablesIn(url).length > 0 || isForUrl(credential, url), {
    error:
      '`credential.resource` must cover `url`: the same origin, at or above its path; tokens for another server do not go to this one',
  })
export type ServerFile = z.infer<typeof serverFile>

/** The PEP judges it again with what its variables hold: `127.0.0.${…}` may be anywhere. */
function isLocal(url: string): boolean {
  return isLoopbackUrl(url.replaceAll(/\$\{[^}]*\}/g, '1'))
}

/** Where a url has variables, the PDP judges it once they are expanded. */
function isForUrl(credential: CredentialDeclaration | undefined, url: string): boolean {
  if (credential === undefined || !('resource' in credential)) return true
  return credential.resource === undefined || covers(credential.resource, url)
}

export const RISKS = ['read', 'write', 'destructive'] as const
export type Risk = (typeof RISKS)[number]

/** A tool definition exactly as the server gave it; only `name` and `inputSchema` are read, the rest is kept. */
export const toolDefinition = z.looseObject({
  name: z.string().min(1).max(TOOL_NAME_LENGTH_MAX),
  inputSchema: z.looseObject({ type: z.literal('object') }),
})
export type ToolDefinition = z.infer<typeof toolDefinition>

/** servers/<id>/tools.lock.json: what was reviewed. A tool may stand in several variants. */
export const toolsLock = z.strictObject({
  version: z.literal(1),
  tools: z.array(
    z.strictObject({ risk: z.enum(RISKS), sha256: sha256Hex, definition: toolDefinition }),
  ),
})
export type ToolsLock = z.infer<typeof toolsLock>

/** How a PEP reaches the server of a server.yaml; its variables not yet expanded. */
export function upstreamOf(id: string, file: ServerFile): Upstream {
  return {
    id,
    transport: file.url === undefined ? 'stdio' : file.transport,
    url: file.url ?? null,
    command: file.command ?? null,
    args: file.args,
    env: file.env,
    cwd: file.cwd ?? null,
    instructions: file.instructions,
    writable: file.writable ?? null,
    ...(file.private ? { private: true } : {}),
    ...(file.credential === undefined ? {} : { credential: credentialNeed(file.credential) }),
  }
}

function credentialNeed(declaration: CredentialDeclaration): NonNullable<Upstream['credential']> {
  const { kind, required } = declaration
  return { kind, required, per: ownerOf(declaration) }
}
