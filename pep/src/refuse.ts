// Owns every word a client reads when its call does not go through: denied by policy, or refused by
// the PEP itself. Peers get a code and an id; never an internal message, address or stack.
import { REFUSALS, type RefusalCode, RPC } from '../../schemas/codes.ts'
import { META } from '../../schemas/mcp.ts'
import type { JsonObject } from '../../schemas/strict-json.ts'
import type { Answer } from './answer.ts'
import type { AuthFault } from './inbound/authenticate.ts'
import type { Envelope } from './inbound/receive.ts'
import type { Settled } from './record/record.ts'

/**
 * The answer to a denied call. A `tools/call` gets a result, which clients show to their model;
 * other requests a JSON-RPC error; what has no id gets 403 with an error body.
 */
export function denied(of: Envelope, verdict: Settled): Answer {
  const headers = { 'cedargate-decision': verdict.decisionId }
  return json(statusOf(of, verdict), deniedMessage(of, verdict), headers)
}

/** A method that does not exist is 404 in the modern era, as from any server (specification, Streamable HTTP). */
function statusOf(of: Envelope, { code }: Settled): number {
  if (of.kind !== 'request') return 403
  return code === 'unknown_method' && of.era === 'modern' && !isToolCall(of) ? 404 : 200
}

/** What a denied request is answered, in whatever way it came. */
export function deniedMessage(of: Envelope, verdict: Settled): JsonObject {
  const { decisionId, code, policies, text } = verdict
  const data = { decisionId, code, policies: [...policies] }
  if (isToolCall(of)) return toolError(of, text, data)
  return rpcError(of, code === 'unknown_method' ? RPC.methodNotFound : RPC.denied, text, data)
}

/** An answer that is at hand whole. */
export type Told = Answer & { readonly body: string }

export type Refused = {
  readonly code: RefusalCode
  readonly requestId: string
  /** What was read of the message: undefined before it was parsed. */
  readonly of: Envelope | undefined
  /** Whether the PDP decided on it; only then it is a call. */
  readonly established: boolean
  /** What else the peer is told. */
  readonly data?: JsonObject
  /** Of `unauthenticated`. */
  readonly fault?: AuthFault | undefined
  readonly retryAfterMs?: number | undefined
}

/** The answer to what the PEP refuses by itself: REFUSALS says status and code, TEXTS the words. */
export function refused(why: Refused): Told {
  const { code, requestId, of, established, data } = why
  const { status } = REFUSALS[code]
  if (!established || of === undefined) {
    return json(status, refusal({ code, requestId, of }, data), extraHeaders(why))
  }
  const isAnswered = of.kind === 'request' && (isToolCall(of) || status >= 500)
  return json(isAnswered ? 200 : status, refusedMessage({ code, requestId, of }), {})
}

/** What an established request is answered that the PEP refuses, in whatever way it came. */
export function refusedMessage({
  code,
  requestId,
  of,
}: Omit<Refused, 'established' | 'data'> & { readonly of: Envelope }): JsonObject {
  if (!isToolCall(of)) return refusal({ code, requestId, of })
  const text = `${TEXTS[code]} (${code}, request ${requestId})`
  return toolError(of, text, { code, requestId })
}

function refusal(
  { code, requestId, of }: Omit<Refused, 'established' | 'data'>,
  data: JsonObject = {},
): JsonObject {
  return rpcError(of, REFUSALS[code].rpc, TEXTS[code], { code, requestId, ...data })
}

function isToolCall({ kind, method }: Envelope): boolean {
  return kind === 'request' && method === 'tools/call'
}

function toolError({ id, era }: Envelope, text: string, data: JsonObject): JsonObject {
  const result = {
    content: [{ type: 'text', text }],
    isError: true,
    _meta: { [META.decision]: data },
  }
  return {
    jsonrpc: '2.0',
    id: id ?? null,
    result: era === 'modern' ? { resultType: 'complete', ...result } : result,
  }
}

/** Without an id unless a request is answered (specification, Streamable HTTP). */
function rpcError(
  of: Envelope | undefined,
  code: number,
  message: string,
  data: JsonObject,
): JsonObject {
  const error = { code, message, data }
  return of?.kind === 'request'
    ? { jsonrpc: '2.0', id: of.id ?? null, error }
    : { jsonrpc: '2.0', error }
}

function json(status: number, body: JsonObject, headers: Readonly<Record<string, string>>): Told {
  return {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers },
    body: JSON.stringify(body),
  }
}

function extraHeaders({ code, fault, retryAfterMs }: Refused): Readonly<Record<string, string>> {
  if (code === 'unauthenticated') return { 'www-authenticate': challengeOf(fault ?? 'unknown') }
  if (retryAfterMs !== undefined) return { 'retry-after': String(Math.ceil(retryAfterMs / 1000)) }
  return EXTRA_HEADERS[code] ?? {}
}

const EXTRA_HEADERS: Partial<Record<RefusalCode, Readonly<Record<string, string>>>> = {
  method_not_allowed: { allow: 'POST' },
  body_too_large: { connection: 'close' },
}

/**
 * RFC 6750 §3: without an error where nothing was tried. No resource_metadata: a client with a configured token must not
 * be sent to look for a login.
 */
export function challengeOf(fault: AuthFault): string {
  const { error, text } = CHALLENGES[fault]
  return error === null ? 'Bearer' : `Bearer error="${error}", error_description="${text}"`
}

const CHALLENGES: Record<AuthFault, { error: string | null; text: string }> = {
  missing: { error: null, text: '' },
  in_query: { error: 'invalid_request', text: 'a token is sent in the Authorization header, never in the query' },
  repeated: { error: 'invalid_request', text: 'there is more than one Authorization header' },
  malformed: { error: 'invalid_token', text: 'the token is not spelled as one of this gateway or as a JWT' },
  unknown: { error: 'invalid_token', text: 'the token is not known here, or not any more' },
  revoked: { error: 'invalid_token', text: 'the token was revoked' },
  expired: { error: 'invalid_token', text: 'the token has expired' },
  wrong_audience: { error: 'invalid_token', text: 'the token was issued for another audience' },
  client_not_allowed: { error: 'invalid_token', text: 'the token was issued to a client that has no grant here' },
} // biome-ignore format: a table

const TEXTS: Record<RefusalCode, string> = {
  malformed_json: 'the body is not JSON',
  duplicate_key: 'an object in the body names the same key twice',
  malformed_text: 'the body is not well-formed Unicode in UTF-8',
  number_not_exact: 'a number in the body would change when read and written again',
  too_deep: 'the body is nested too deeply',
  too_many_values: 'the body holds too many keys and values',
  reserved_key: 'the body uses a key that is reserved (__entity, __extn, __expr)',
  batch_not_supported: 'send one message at a time: batches are not supported',
  not_a_message: 'the body is not one JSON-RPC 2.0 message',
  missing_metadata:
    'a request of this revision names its protocol version and client capabilities in `_meta`',
  missing_capability: 'this request needs a capability that the client did not declare in it',
  header_mismatch: 'a header that repeats the body is missing or differs from it',
  unsupported_version: 'this protocol version is not supported',
  not_acceptable: 'the Accept header must list application/json and text/event-stream',
  unauthenticated: 'send one valid token as Authorization: Bearer',
  foreign_origin: 'requests of this origin are not accepted',
  foreign_host: 'requests to this host name are not accepted',
  server_not_granted: 'this token is not granted for this server',
  unknown_server: 'there is no such server',
  unknown_session: 'there is no such session: initialize again',
  unknown_task: 'there is no such task',
  invalid_state:
    'the requestState is not one that this gateway gave for this request, or it is too old',
  method_not_allowed: 'this HTTP method is not supported here',
  body_too_large: 'the body is too large',
  wrong_content_type: 'send application/json, not encoded',
  too_many_requests: 'there are too many open streams or sessions; try again later',
  too_many_failures: 'too many requests from this address failed to authenticate; try again later',
  pdp_unavailable: 'Cedargate could not decide this, so nothing was sent to the server',
  record_unavailable: 'Cedargate could not record its decision, so nothing was sent to the server',
  verdict_expired: 'Cedargate allowed this too long ago, so nothing was sent to the server',
  verdict_mismatch: 'Cedargate could not trust its decision, so nothing was sent to the server',
  upstream_unavailable: 'this was allowed, but the server could not be reached',
  upstream_timeout: 'this was allowed, but the server did not answer in time',
  upstream_invalid: 'this was allowed, but the answer of the server could not be used',
}
