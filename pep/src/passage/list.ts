// Owns what a list answer may show: the verdict's `visible`, in the server's order, and tools as they
// were reviewed. Whatever cannot be read is refused, never passed on unfiltered.
import { RPC } from '../../../schemas/codes.ts'
import { type Era, type Listed, META, METHODS } from '../../../schemas/mcp.ts'
import type { Visible } from '../../../schemas/pep-api.ts'
import type { Json, JsonObject } from '../../../schemas/strict-json.ts'
import { GatewayError } from '../gateway-error.ts'
import { metaOf } from '../inbound/era.ts'
import type { Addressed } from '../inbound/receive.ts'
import type { ShowTools } from '../reviewed.ts'
import { caching } from './describe.ts'
import { checkSpelling, isObject, unusable } from './server-message.ts'

export type ListFilter = {
  readonly listed: Listed
  readonly visible: Visible
  readonly tools: ReadonlySet<string>
  /** Puts the reviewed definitions in the place of the server's own. */
  readonly showTools: (tools: readonly JsonObject[]) => readonly JsonObject[]
  readonly era: Era
}

/**
 * What a list method's answer is filtered by, or undefined for other methods. Throws
 * verdict_mismatch without `visible`.
 */
export function listFilterOf(
  { method, era, server, grant }: Omit<Addressed, 'kind' | 'id'>,
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
    showTools: (tools) => showTools({ server, grant }, tools),
    era,
  }
}

/**
 * The result with its list cut down. Whose it is does not matter: clients are loose about ids. Throws upstream_invalid
 * where there is no list.
 */
export function filterResult(result: JsonObject, filter: ListFilter): JsonObject {
  checkSpelling(result, [filter.listed])
  const items = result[filter.listed]
  if (!Array.isArray(items)) throw unusable(`it has no list of ${filter.listed}`)
  const around = filter.listed === 'tools' ? aroundTools(result) : result
  return caching({ ...around, [filter.listed]: keep(items, filter) }, filter.era)
}

/**
 * What a list of tools may say beside the tools: how to go on, how long it holds and which server it is of, nothing
 * that nobody reviewed.
 */
function aroundTools(result: JsonObject): JsonObject {
  const kept = AROUND_TOOLS.flatMap((key): [string, Json][] => {
    const value = result[key]
    return value === undefined ? [] : [[key, value]]
  })
  const serverInfo = metaOf(result)?.[META.serverInfo]
  const meta = serverInfo === undefined ? {} : { _meta: { [META.serverInfo]: serverInfo } }
  return { ...Object.fromEntries(kept), ...meta }
}

const AROUND_TOOLS = ['resultType', 'nextCursor', 'ttlMs', 'cacheScope'] as const

/**
 * What stands in the place of a list on a stream that is not the answer to a list request: a resumed stream may replay
 * one, and there is no verdict here to filter it by. Undefined where there is no list.
 */
export function withheldList({ id }: JsonObject, result: JsonObject): JsonObject | undefined {
  checkSpelling(result, LISTS)
  if (!LISTS.some((list) => list in result)) return undefined
  const error = { code: RPC.unavailable, message: 'a list cannot be resumed: ask for it again' }
  return { jsonrpc: '2.0', id: id ?? null, error }
}

const LISTS: readonly Listed[] = ['tools', 'resources', 'resourceTemplates', 'prompts']

function keep(items: readonly Json[], filter: ListFilter): Json[] {
  const { listed, visible, tools, showTools } = filter
  if (listed !== 'tools')
    return visible[listed === 'prompts' ? 'prompts' : 'resources'] ? [...items] : []
  return [...showTools(items.filter((item) => isVisible(item, tools)))]
}

function isRespelled(item: JsonObject): boolean {
  return Object.keys(item).some((key) => key !== 'name' && key.toLowerCase() === 'name')
}

function isVisible(item: Json, tools: ReadonlySet<string>): item is JsonObject {
  if (!isObject(item)) return false
  const { name } = item
  return typeof name === 'string' && tools.has(name) && !isRespelled(item)
}
