// Owns which era a message is of, and that headers which repeat the body say the same. Never
// decides on a header.
import type { IncomingHttpHeaders } from 'node:http'
import { type Era, LEGACY_REVISIONS, META, MODERN_REVISIONS } from '../../../schemas/mcp.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { GatewayError } from '../gateway-error.ts'
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

/**
 * Modern when the header or `_meta` names a modern revision. Throws unsupported_version, or
 * header_mismatch when a header differs from the body; a modern request or notification must carry
 * all of them. Mcp-Param-* are not checked: only the server knows which parameter each repeats.
 */
export function readEra(headers: IncomingHttpHeaders, message: Message): Era {
  const header = revision(headers['mcp-protocol-version'])
  const named = revision(metaOf(message.params)?.[META.protocolVersion])
  const modern = isModern(header) || isModern(named)
  const versionsDiffer =
    named === undefined ? modern && message.kind === 'request' : header !== named
  if (versionsDiffer && (modern || header !== undefined)) {
    throw mismatch('MCP-Protocol-Version differs from the body')
  }
  checkRepeated(
    headers['mcp-method'],
    message.kind === 'response' ? undefined : message.method,
    modern,
    'Mcp-Method',
  )
  const key = NAMED.get(message.method)
  const name = message.params?.[key ?? 'name'] ?? (key ? undefined : message.params?.['uri'])
  checkRepeated(headers['mcp-name'], name, modern && key !== undefined, 'Mcp-Name')
  return modern ? 'modern' : 'legacy'
}

/** The era of a request without a body. Throws unsupported_version. */
export function readHeaderEra(headers: IncomingHttpHeaders): Era {
  return isModern(revision(headers['mcp-protocol-version'])) ? 'modern' : 'legacy'
}

export function metaOf(params: JsonObject | undefined): JsonObject | undefined {
  const meta = params?.['_meta']
  return typeof meta === 'object' && meta !== null && !Array.isArray(meta) ? meta : undefined
}

function isModern(text: string | undefined): boolean {
  return text !== undefined && MODERN_REVISIONS.has(text)
}

function revision(value: unknown): string | undefined {
  if (value === undefined) return undefined
  if (typeof value === 'string' && (MODERN_REVISIONS.has(value) || LEGACY_REVISIONS.has(value))) {
    return value
  }
  throw new GatewayError(
    'unsupported_version',
    'the protocol version is not one this gateway knows',
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
  if (decode(String(header)) !== inBody) throw mismatch(`${name} differs from the body`)
}

/** `=?base64?…?=` carries what a header cannot; one canonical encoding of UTF-8 or nothing. */
function decode(header: string): string | undefined {
  const coded = /^=\?base64\?(.*)\?=$/.exec(header)?.[1]
  if (coded === undefined) return /^[\x20-\x7e]*$/.test(header) ? header : undefined
  const bytes = Buffer.from(coded, 'base64')
  const text = bytes.toString('utf8')
  const canonical = bytes.toString('base64') === coded && Buffer.from(text, 'utf8').equals(bytes)
  return canonical ? text : undefined
}

function mismatch(message: string): GatewayError {
  return new GatewayError('header_mismatch', message)
}
