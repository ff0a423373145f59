// Owns what a list answer may show: the verdict's `visible`, in the server's order, and tools as they
// were reviewed. Whatever cannot be read is refused, never passed on unfiltered.
import { RPC } from '../../schemas/codes.ts'
import { type Era, type Listed, METHODS } from '../../schemas/mcp.ts'
import type { Visible } from '../../schemas/pep-api.ts'
import type { Json, JsonObject } from '../../schemas/strict-json.ts'
import { GatewayError } from './gateway-error.ts'
import type { RpcId } from './inbound/parse.ts'
import type { Addressed } from './inbound/receive.ts'
import { LIST_BYTES_MAX, LIST_TTL_MS_MAX } from './limits.ts'
import type { ShowTools } from './reviewed.ts'
import { createSseReader, type SseEvent, withData } from './sse.ts'

export type ListFilter = {
  readonly listed: Listed
  readonly visible: Visible
  readonly tools: ReadonlySet<string>
  /** Puts the reviewed definitions in the place of the server's own. */
  readonly showTools: (tools: readonly JsonObject[]) => readonly JsonObject[]
  readonly era: Era
  /** Of the request: what an error in place of an unreadable answer names. */
  readonly id: RpcId | undefined
}

/**
 * What a list method's answer is filtered by, or undefined for other methods. Throws
 * verdict_mismatch without `visible`.
 */
export function listFilterOf(
  { method, era, id, server, token }: Omit<Addressed, 'kind'>,
  { visible }: { readonly visible: Visible | null },
  showTools: ShowTools,
): ListFilter | undefined {
  const rule = METHODS.get(method)
  if (rule?.decide !== 'connect' || rule.filter === undefined) return undefined
  if (visible === null)
    throw new GatewayError('verdict_mismatch', 'a list was allowed without saying what it may show')
  return {
    listed: rule.filter,
    visible,
    tools: new Set(visible.tools),
    showTools: (tools) => showTools({ server, token }, tools),
    era,
    id,
  }
}

/**
 * The message with its list cut down. Every response is filtered, whatever id it names: clients are
 * loose about ids. Errors, requests and notifications come back as they are. Throws
 * upstream_invalid on anything else.
 */
export function filterMessage(message: unknown, filter: ListFilter): JsonObject {
  if (!isObject(message)) throw unusable('it is not one message')
  if (isRespelled(message, 'result')) throw unusable('`result` is spelled otherwise')
  const { result } = message
  if (result === undefined) {
    if ('error' in message || typeof message['method'] === 'string') return message
    throw unusable('it is neither response nor request')
  }
  const items = isObject(result) ? result[filter.listed] : undefined
  if (!isObject(result) || !Array.isArray(items))
    throw unusable(`it has no list of ${filter.listed}`)
  if (isRespelled(result, filter.listed)) throw unusable(`${filter.listed} is spelled otherwise`)
  const around = filter.listed === 'tools' ? aroundTools(result) : result
  const kept = { ...around, [filter.listed]: keep(items, filter) }
  return { ...message, result: { ...kept, ...caching(result, filter.era) } }
}

/** What a list of tools may say beside the tools: how to go on and how long it holds, nothing that nobody reviewed. */
function aroundTools(result: JsonObject): JsonObject {
  const kept = AROUND_TOOLS.flatMap((key): [string, Json][] => {
    const value = result[key]
    return value === undefined ? [] : [[key, value]]
  })
  return Object.fromEntries(kept)
}

const AROUND_TOOLS = ['resultType', 'nextCursor', 'ttlMs', 'cacheScope'] as const

/** A JSON answer's text, filtered. Throws upstream_invalid. */
export function filterText(text: string, filter: ListFilter): string {
  return JSON.stringify(filterMessage(parse(text), filter))
}

/**
 * What becomes of one chunk of an event stream: whole events, as they are or as they may be shown.
 */
export type MapChunk = (chunk: Buffer) => Buffer

/**
 * Filters an event stream event by event. Where one cannot be read, an error stands in the list's
 * place, and nothing comes after it.
 */
export function filterEvents(filter: ListFilter): MapChunk {
  const reader = createSseReader(LIST_BYTES_MAX)
  let isReadable = true
  return (chunk) => {
    const shown: Buffer[] = []
    try {
      if (isReadable) for (const event of reader.push(chunk)) shown.push(filterEvent(event, filter))
    } catch {
      isReadable = false
      shown.push(errorEvent(filter))
    }
    return Buffer.concat(shown)
  }
}

/**
 * Keeps lists out of a stream that is not the answer to a list request: a resumed stream may replay
 * one, and there is no verdict here to filter it by. Everything else passes byte for byte. The
 * function throws on an event too long.
 */
export function withholdLists(): MapChunk {
  const reader = createSseReader(LIST_BYTES_MAX)
  return (chunk) => Buffer.concat(reader.push(chunk).map(withheld))
}

function filterEvent(event: SseEvent, filter: ListFilter): Buffer {
  if (event.data === undefined || event.data === '') return withData(event, event.data)
  const message = parse(event.data)
  const filtered = filterMessage(message, filter)
  return filtered === message ? event.raw : withData(event, JSON.stringify(filtered))
}

function errorEvent({ id }: ListFilter): Buffer {
  const code = 'upstream_invalid'
  const error = {
    code: RPC.unavailable,
    message: 'the list of the server could not be read',
    data: { code },
  }
  const text = JSON.stringify({ jsonrpc: '2.0', id: id ?? null, error })
  return Buffer.from(`event: message\ndata: ${text}\n\n`)
}

const LISTS: readonly Listed[] = ['tools', 'resources', 'resourceTemplates', 'prompts']

function withheld(event: SseEvent): Buffer {
  if (event.data === undefined || !event.data.includes('"result"')) return event.raw
  const message = tryParse(event.data)
  const result = isObject(message) ? message['result'] : undefined
  if (!isObject(message) || !isObject(result) || !LISTS.some((list) => list in result))
    return event.raw
  const error = { code: RPC.unavailable, message: 'a list cannot be resumed: ask for it again' }
  return withData(event, JSON.stringify({ jsonrpc: '2.0', id: message['id'] ?? null, error }))
}

function keep(items: readonly Json[], filter: ListFilter): Json[] {
  const { listed, visible, tools, showTools } = filter
  if (listed !== 'tools')
    return visible[listed === 'prompts' ? 'prompts' : 'resources'] ? [...items] : []
  return [...showTools(items.filter((item) => isVisible(item, tools)))]
}

function isVisible(item: Json, tools: ReadonlySet<string>): item is JsonObject {
  if (!isObject(item)) return false
  const { name } = item
  return typeof name === 'string' && tools.has(name) && !isRespelled(item, 'name')
}

/** Some readers take `Tools` for `tools`: what they would see in its place was not filtered. */
function isRespelled(of: JsonObject, key: string): boolean {
  return Object.keys(of).some((own) => own !== key && fold(own) === fold(key))
}

function fold(key: string): string {
  return key.toUpperCase().toLowerCase()
}

/** A filtered list is one person's: no cache may show it to another, nor keep it for long. */
function caching(result: JsonObject, era: Era): JsonObject {
  const ttl = result['ttlMs']
  return {
    ...(era === 'modern' || 'cacheScope' in result ? { cacheScope: 'private' } : {}),
    ...(ttl === undefined
      ? {}
      : { ttlMs: typeof ttl === 'number' ? Math.min(ttl, LIST_TTL_MS_MAX) : 0 }),
  }
}

function parse(text: string): unknown {
  const value = tryParse(text)
  if (value === undefined) throw unusable('it is not JSON')
  return value
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function unusable(why: string): GatewayError {
  return new GatewayError(
    'upstream_invalid',
    `the list of the server could not be filtered: ${why}`,
  )
}
