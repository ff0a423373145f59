// Owns what a policy sees of a message with an action of its own: the thing it names, or what a server asks of its
// client. Pure; the types are in bundle/schema.ts.
import { MAPPED_ARGS_BYTES_MAX } from '../../../schemas/limits.ts'
import type { ItemAction } from '../../../schemas/mcp.ts'
import type { Json, JsonObject } from '../../../schemas/strict-json.ts'
import { recordText } from './arguments.ts'
import { elicitationTexts } from './elicitation.ts'
import { own } from './json.ts'
import type { MapCode } from './refusal.ts'
import { Refused } from './refusal.ts'
import { scalarText } from './scalar-text.ts'

/** `attributes`: attribute name → JSON text. */
export type ItemArguments =
  | { readonly ok: true; readonly attributes: ReadonlyMap<string, string> }
  | { readonly ok: false; readonly code: MapCode; readonly detail: string }

/**
 * `context.args` of one message. Refuses with `invalid_request` what does not name its thing or is of a wrong type,
 * with `unrepresentable_argument` what Cedar cannot hold exactly. Of params that no attribute is of it looks at nothing.
 */
export function itemArguments(action: ItemAction, params: JsonObject | undefined): ItemArguments {
  try {
    const attributes = textsOf(action, params)
    if (Buffer.byteLength(recordText(attributes)) <= MAPPED_ARGS_BYTES_MAX) {
      return { ok: true, attributes }
    }
    const detail = `what it names is larger than ${MAPPED_ARGS_BYTES_MAX / 1024} KiB`
    return { ok: false, code: 'unrepresentable_argument', detail }
  } catch (error) {
    if (error instanceof Refused) return { ok: false, code: error.code, detail: error.message }
    throw error
  }
}

type Texts = ReadonlyMap<string, string>

function textsOf(action: ItemAction, params: JsonObject | undefined): Texts {
  switch (action) {
    case 'resources/read':
      return strings(params, { uri: 'uri' })
    case 'prompts/get':
      return strings(params, { name: 'name' })
    case 'completion/complete':
      return completionTexts(params)
    case 'sampling/createMessage':
      return samplingTexts(params)
    case 'elicitation/create':
      return elicitationTexts(params)
    default:
      return new Map()
  }
}

function completionTexts(params: JsonObject | undefined): Texts {
  const ref = own(params, 'ref')
  const kind = own(ref, 'type')
  if (kind !== 'ref/prompt' && kind !== 'ref/resource') {
    const detail = '`params.ref.type` must be `ref/prompt` or `ref/resource`'
    throw new Refused('invalid_request', detail)
  }
  const named =
    kind === 'ref/prompt' ? strings(ref, { name: 'name' }) : strings(ref, { uri: 'uri' })
  const argument = strings(own(params, 'argument'), { name: 'argument' })
  return new Map([['ref', JSON.stringify(kind)], ...named, ...argument])
}

/** `tools`: whether any are given at all, whatever they are. */
function samplingTexts(params: JsonObject | undefined): Texts {
  if (params === undefined) throw new Refused('invalid_request', '`params` must be an object')
  const maxTokens = own(params, 'maxTokens')
  const given = own(params, 'includeContext')
  const included = given === undefined ? 'none' : given
  return new Map([
    ...(maxTokens === undefined
      ? []
      : [['maxTokens', scalarText('Long', maxTokens, '/maxTokens')] as const]),
    ['tools', String(own(params, 'tools') !== undefined)],
    ['includeContext', scalarText('String', included, '/includeContext')],
  ])
}

/** Members of `from` that must be well-formed strings, under the names policies use. */
function strings(from: Json | undefined, names: Readonly<Record<string, string>>): Texts {
  const found = new Map<string, string>()
  for (const [name, attribute] of Object.entries(names)) {
    const value = own(from, name)
    if (typeof value !== 'string' || !value.isWellFormed()) {
      throw new Refused('invalid_request', `\`${name}\` must be a string`)
    }
    found.set(attribute, JSON.stringify(value))
  }
  return found
}
