// Owns which era a message is of, and that headers which repeat the body say the same. Never
// decides on a header.
import type { IncomingHttpHeaders } from 'node:http'
import { type Era, LEGACY_REVISIONS, META, MODERN_REVISIONS } from '../../../schemas/mcp.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { GatewayError } from '../gateway-error.ts'
import { decodeHeader } from './header-value.ts'
import type { Message } from './parse.ts'

/**
 * Which parameter `Mcp-Name` repeats, for the methods that must carry it (specification,
 * 2026-07-28).
 */
const NAMED: ReadonlyMap<string, string> = new Map([
  ['tools/call', 'name'],
  ['prompts/get', 'name'],
  ['resources/read', 'uri'],
])

/** Those that may: a task is named by its id. */
const TASK_METHODS = /^tasks\//

/**
 * Modern when the header or `_meta` names a modern revision. Throws unsupported_version, or
 * header_mismatch when a header differs from the body; a modern request or notification must carry
 * all of them. Does NOT check Mcp-Param-*: which parameter each repeats stands in a definition (param-headers.ts).
 */
export function readEra(headers: IncomingHttpHeaders, message: Message): Era {
  const header = headers['mcp-protocol-version']
  const meta = metaOf(message.params)
  const named = meta?.[META.protocolVersion]
  const isTold = named !== undefined && (header !== undefined || isModern(named))
  if (isTold && header !== named) throw mismatch('MCP-Protocol-Version differs from the body')
  checkRevision(header, named !== undefined)
  checkRevision(named, true)
  const modern = isModern(header) || isModern(named)
  if (modern && message.kind === 'request') checkMetadata(meta)
  checkRepeated(
    headers['mcp-method'],
    message.kind === 'response' ? undefined : message.method,
    modern,
    'Mcp-Method',
  )
  const key = NAMED.get(message.method)
  checkRepeated(headers['mcp-name'], nameOf(message, key), modern && key !== undefined, 'Mcp-Name')
  return modern ? 'modern' : 'legacy'
}

/** Every modern request says by itself which revision it is of and what its client can do. */
function checkMetadata(meta: JsonObject | undefined): void {
  const capabilities = meta?.[META.clientCapabilities]
  const isWhole =
    typeof meta?.[META.protocolVersion] === 'string' &&
    typeof capabilities === 'object' &&
    capabilities !== null
  if (!isWhole) {
    throw new GatewayError(
      'missing_metadata',
      '`_meta` lacks the protocol version or the capabilities',
    )
  }
}

function nameOf({ method, params }: Message, key: string | undefined): unknown {
  if (key !== undefined) return params?.[key]
  return TASK_METHODS.test(method) ? params?.['taskId'] : (params?.['name'] ?? params?.['uri'])
}

/** The era of a request without a body. Throws unsupported_version. */
export function readHeaderEra(headers: IncomingHttpHeaders): Era {
  const header = headers['mcp-protocol-version']
  checkRevision(header, false)
  return isModern(header) ? 'modern' : 'legacy'
}

export function metaOf(params: JsonObject | undefined): JsonObject | undefined {
  const meta = params?.['_meta']
  return typeof meta === 'object' && meta !== null && !Array.isArray(meta) ? meta : undefined
}

function isModern(version: unknown): boolean {
  return typeof version === 'string' && MODERN_REVISIONS.has(version)
}

/** `perRequest`: it stands in `_meta`, which only modern revisions know. */
function checkRevision(version: unknown, perRequest: boolean): void {
  if (version === undefined) return
  const isKnown =
    typeof version === 'string' && (MODERN_REVISIONS.has(version) || LEGACY_REVISIONS.has(version))
  if (isKnown) return
  const supported = [...MODERN_REVISIONS, ...(perRequest ? [] : LEGACY_REVISIONS)]
  const requested = typeof version === 'string' ? version.slice(0, 64).toWellFormed() : null
  throw new GatewayError(
    'unsupported_version',
    'the protocol version is not one this gateway knows',
    { data: { supported, requested } },
  )
}

function checkRepeated(
  header: string | string[] | undefined,
  inBody: unknown,
  required: boolean,
  name: string,
): void {
  if (header === undefined) {
    if (required) throw mismatch(`${name} is missing`)
    return
  }
  if (decodeHeader(String(header)) !== inBody) throw mismatch(`${name} differs from the body`)
}

function mismatch(message: string): GatewayError {
  return new GatewayError('header_mismatch', message)
}
