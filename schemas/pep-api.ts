// Owns the wire between a PEP and the PDP: `/pep/v1/*`. JSON over HTTP/1.1; `Authorization: Bearer <PEP key>`.
import { z } from 'zod'
import { VERDICT_CODES } from './codes.ts'
import { CREDENTIAL_KINDS, CREDENTIAL_OWNERS, releasedCredential } from './credentials.ts'
import { serverId, sha256Hex } from './identifiers.ts'
import { signedRecord } from './leaf.ts'
import {
  DECIDE_CALLS_MAX,
  DEFINITION_BYTES_MAX,
  DEFINITIONS_MAX,
  LIST_CALLERS_MAX,
  TOKEN_LENGTH_MAX,
  TOOL_NAME_LENGTH_MAX,
} from './limits.ts'
import { storedText } from './stored-text.ts'

const jwt = z.string().max(TOKEN_LENGTH_MAX).nullable().default(null)

/**
 * Body of `POST /pep/v1/identify`: whose token this is. Asked once per token, before a byte of the body is read; it names
 * a grant and allows nothing, every message is decided by its token again.
 */
export const identifyRequest = z.strictObject({
  token: sha256Hex,
  jwt,
  sourceIp: z.string().max(64).nullable(),
})
export type IdentifyRequest = z.infer<typeof identifyRequest>
/** Why a token is good for nothing, as far as its holder may know. */
export const TOKEN_FAULTS = ['unknown', 'expired', 'wrong_audience', 'client_not_allowed'] as const
export type TokenFault = (typeof TOKEN_FAULTS)[number]
export const identifyResponse = z.union([
  z.strictObject({ grant: z.uuid() }),
  z.strictObject({ grant: z.null(), fault: z.enum(TOKEN_FAULTS) }),
])
export type IdentifyResponse = z.infer<typeof identifyResponse>

/** One message to decide. Of a gateway token the PEP sends the SHA-256 alone. */
export const decideCall = z.strictObject({
  /** Chosen by the PEP, unique for it; comes back in the verdict. */
  requestId: z.uuid(),
  /** SHA-256 of the bearer token; null for the PEP's own discovery, decided as agent `cedargate`. */
  token: sha256Hex.nullable(),
  /** The token itself where it is a JWT access token: the PDP verifies it. Gateway tokens never leave the PEP. */
  jwt,
  server: serverId,
  /** Who sent the message: a request of the server is on its way to the client that `token` names. */
  from: z.enum(['client', 'server']).default('client'),
  /** A method of MCP, or `response`, `http:get`, `http:delete` (schemas/mcp.ts). */
  method: z.string().max(256),
  /** The exact text that would be forwarded; empty for `http:*`. The PDP reads it for itself. */
  message: z.string(),
  era: z.enum(['legacy', 'modern']),
  /** Fingerprint of the tool's definition as the server serves it now; null where none is known. */
  definition: sha256Hex.nullable(),
  /** Self-reported by the client: recorded, never decided on. */
  client: z.strictObject({ name: z.string().max(256), version: z.string().max(256) }).nullable(),
  sourceIp: z.string().max(64).nullable(),
})
export const decideRequest = z.strictObject({
  calls: z.array(decideCall).min(1).max(DECIDE_CALLS_MAX),
})
export type DecideCall = z.infer<typeof decideCall>

/** What a list answer may show: tools by name; the other lists wholly or not at all. */
export const visible = z.strictObject({
  tools: z.array(z.string()),
  resources: z.boolean(),
  prompts: z.boolean(),
})
export type Visible = z.infer<typeof visible>

/**
 * The verdict on one call, and the record to write before acting on it. It names what it is for: a PEP drops one
 * whose `requestId`, `server` or `messageDigest` (SHA-256 of `message`) is not its own.
 */
export const verdict = z.strictObject({
  kind: z.literal('verdict'),
  requestId: z.uuid(),
  server: serverId,
  messageDigest: sha256Hex,
  /** Whose call it was; null for the PEP's own. A PEP that took the token for another grant's drops the verdict. */
  grant: z.uuid().nullable(),
  decisionId: z.uuid(),
  decision: z.enum(['allow', 'deny']),
  code: z.enum(VERDICT_CODES),
  policies: z.array(z.string()),
  /** For the person at the client: what was refused and how to get access. Names no argument value. */
  text: z.string(),
  visible: visible.nullable(),
  record: signedRecord,
  /** What to authenticate with at the server: with an allow alone, and never kept, logged or recorded. */
  credential: releasedCredential.exactOptional(),
})
export type Verdict = z.infer<typeof verdict>

/** Not a decision: the caller is nobody we know, or may not speak to that server at all. Never recorded. */
export const rejection = z.strictObject({
  kind: z.literal('rejection'),
  requestId: z.uuid(),
  reason: z.enum(['unauthenticated', 'server_not_granted', 'unknown_server']),
})
export type Rejection = z.infer<typeof rejection>

export const decideResult = z.discriminatedUnion('kind', [verdict, rejection])
export type DecideResult = z.infer<typeof decideResult>
export const decideResponse = z.strictObject({ results: z.array(decideResult) })

/** How a forwarded or refused call ended. Reported after the fact; sealed by the PDP as the PEP's word. */
export const outcome = z.strictObject({
  decisionId: z.uuid(),
  result: z.enum(['forwarded', 'refused', 'failed', 'unknown']),
  /** HTTP status the upstream answered; 0 when none. */
  status: z.int().min(0).max(999),
  upstreamMs: z.int().nonnegative(),
  isError: z.boolean(),
  bytes: z.int().nonnegative(),
  /** What the call was sent with. `echoed`: the answer held it, and it was masked. A status of 401 says it was refused. */
  credential: z
    .strictObject({ id: z.uuid(), version: z.int().positive(), echoed: z.boolean() })
    .exactOptional(),
})
export type Outcome = z.infer<typeof outcome>
export const outcomesRequest = z.strictObject({ outcomes: z.array(outcome).min(1).max(1024) })

/**
 * What was seen of a server's tools, by name and fingerprint. `look`: all of what one look of the PEP's own saw, which
 * replaces the last look; else what a caller's list showed. A tool listed in two ways stands here once for each, and
 * once as the fingerprint of the pair.
 */
export const sightingsRequest = z.strictObject({
  server: serverId,
  look: z.boolean(),
  tools: z
    .array(z.strictObject({ name: storedText.max(TOOL_NAME_LENGTH_MAX), sha256: sha256Hex }))
    .max(DEFINITIONS_MAX),
})
export type SightingsRequest = z.infer<typeof sightingsRequest>

export const toolState = z.enum(['reviewed', 'changed', 'unknown'])
export type ToolState = z.infer<typeof toolState>

/** Per tool and in order: whether the bundle has reviewed it, and whether its definition is `wanted` whole. */
export const sightingsResponse = z.strictObject({
  tools: z.array(z.strictObject({ name: z.string(), state: toolState, wanted: z.boolean() })),
})

/**
 * Definitions that were wanted: `content` is the RFC 8785 text that `sha256` is of, null where it has more than
 * DEFINITION_BYTES_MAX bytes. One that does not match its fingerprint refuses the request.
 */
export const contentsRequest = z.strictObject({
  server: serverId,
  contents: z
    .array(
      z.strictObject({
        sha256: sha256Hex,
        content: storedText.max(DEFINITION_BYTES_MAX).nullable(),
      }),
    )
    .max(DEFINITIONS_MAX),
})
export type ContentsRequest = z.infer<typeof contentsRequest>
/** Body of `POST /pep/v1/definitions`; contents are answered 204. */
export const definitionsRequest = z.union([sightingsRequest, contentsRequest])

/**
 * Answer to `GET /pep/v1/definitions?server=`: the reviewed definitions of one server, in the order of its lock. The
 * last variant of a tool is the latest.
 */
export const reviewedResponse = z.strictObject({
  bundle: sha256Hex,
  tools: z.array(
    z.strictObject({
      name: z.string(),
      variants: z
        .array(z.strictObject({ sha256: sha256Hex, definition: z.record(z.string(), z.unknown()) }))
        .min(1),
    }),
  ),
})
export type ReviewedResponse = z.infer<typeof reviewedResponse>

/** How the PEP reaches one server. `${NAME}` in url, args, env and cwd is expanded by the PEP (schemas/bundle.ts). */
export const upstream = z.strictObject({
  id: serverId,
  transport: z.enum(['http', 'sse', 'stdio']),
  url: z.string().nullable(),
  command: z.string().nullable(),
  args: z.array(z.string()),
  env: z.record(z.string(), z.string()),
  cwd: z.string().nullable(),
  /** What becomes of the `instructions` that the server has for a model; nobody reviews them. */
  instructions: z.enum(['pass', 'withhold']),
  /**
   * Directories that a sandboxed stdio server may write below, `${NAME}` expanded; null: wherever its operating system
   * user may. What the gateway keeps for itself it never sees.
   */
  writable: z.array(z.string()).nullable(),
  /** The name in `url` may lead to a private address. */
  private: z.literal(true).exactOptional(),
  /** What calls to it are authenticated with: each verdict brings it. */
  credential: z
    .strictObject({
      kind: z.enum(CREDENTIAL_KINDS),
      per: z.enum(CREDENTIAL_OWNERS),
      required: z.boolean(),
    })
    .exactOptional(),
})
export type Upstream = z.infer<typeof upstream>

/**
 * A key that session ids, task ids and `requestState` are bound with: every PEP beside a server has the same ones, and
 * none of another server. `key`: 32 bytes, base64url.
 */
export const bindingKey = z.strictObject({
  server: serverId,
  id: z.string().regex(/^[a-z0-9]{1,16}$/),
  key: z.string().regex(/^[\w-]{43}$/),
})
export type BindingKey = z.infer<typeof bindingKey>

/**
 * `pep` is the id of the caller's own enrolment; `bundle` the id of what these servers were read from. Of each server's
 * keys the first binds, and all of them are accepted; they are to be asked for again within BINDING_KEYS_MS.
 */
export const serversResponse = z.strictObject({
  pep: z.string(),
  bundle: sha256Hex,
  servers: z.array(upstream),
  keys: z.array(bindingKey),
})

/** What lists would show these callers now; decides nothing and is not recorded. */
export const listRequest = z.strictObject({
  callers: z
    .array(z.strictObject({ grant: z.uuid(), server: serverId }))
    .min(1)
    .max(LIST_CALLERS_MAX),
})
export type ListRequest = z.infer<typeof listRequest>
/** Per caller, in order; null for one that may not list at all. */
export const listResponse = z.strictObject({ visible: z.array(visible.nullable()) })

/**
 * Server-sent events of `GET /pep/v1/events`; `event:` is the kind, `data:` this. A comment line every 15 s. `revoked`:
 * nothing of that grant is allowed any more; what is open ends. `changed`: its token, servers, scopes or expiry did; what
 * is open ends too, and may be opened again by whoever still may. `standing`: its user or agent has other teams or
 * scopes; what is open stays, if a list is still shown to it.
 */
export const pepEvent = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('revoked'), grant: z.uuid() }),
  z.strictObject({ kind: z.literal('changed'), grant: z.uuid() }),
  z.strictObject({ kind: z.literal('standing'), grant: z.uuid() }),
  z.strictObject({ kind: z.literal('bundle'), bundle: sha256Hex }),
])
export type PepEvent = z.infer<typeof pepEvent>
