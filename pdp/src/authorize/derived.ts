// Owns the attributes that the mapper computes from an argument: their names, their Cedar types, their values. Pure.
// A platform team declares them in server.yaml (`derive`); no caller can give one.
import type { CedarType } from '../../../schemas/cedar.ts'
import type { Json } from '../../../schemas/strict-json.ts'
import type { ArgumentType } from './argument-types.ts'
import { emailDomain, urlHost } from './domains.ts'
import { directoriesAbove, normalisePath } from './paths.ts'
import { pointerTo, unrepresentable } from './refusal.ts'

/**
 * The attribute `name`, made of `argument`: a normalised path below `root` (paths.ts), the host of a URL, the domain
 * of an e-mail address (domains.ts), or the number of elements. Of an array of paths there is also `<name>_within`,
 * the set of directories that hold every one of them.
 */
export type Derived = { readonly argument: string; readonly name: string } & (
  | { readonly kind: 'path'; readonly root: string }
  | { readonly kind: 'url_host' | 'email_domain' | 'count' }
)

/** Every attribute that `derived` may add, of whatever type its argument is. */
export function derivedNames(derived: Derived): string[] {
  return derived.kind === 'path' ? [derived.name, withinName(derived)] : [derived.name]
}

/** What `derived` adds beside an argument of this type; nothing when the type does not fit. */
export function derivedTypes(derived: Derived, type: ArgumentType): [string, CedarType][] {
  const { kind, name } = derived
  const string = { type: 'String' } as const
  const strings = { type: 'Set', element: string } as const
  if (kind === 'count') {
    return type.kind === 'set' || type.kind === 'rows' ? [[name, { type: 'Long' }]] : []
  }
  if (type.kind === 'scalar' && type.scalar === 'String') return [[name, string]]
  if (type.kind !== 'set' || type.element !== 'String') return []
  return kind === 'path'
    ? [[name, strings], [withinName(derived), strings]] // biome-ignore format: pairs
    : [[name, strings]]
}

/**
 * Attribute name → JSON text, of an argument that is present and has been mapped by a type that fits. Throws Refused
 * (`unrepresentable_argument`) when there is no such path, host or domain.
 */
export function derivedTexts(derived: Derived, value: Json): [string, string][] {
  const { kind, name } = derived
  const at = pointerTo('', derived.argument)
  if (kind === 'count') return [[name, String((value as readonly Json[]).length)]]
  if (!Array.isArray(value)) return [[name, JSON.stringify(computed(derived, value, at))]]
  const all = value.map((item, index) => computed(derived, item, `${at}/${index}`))
  if (kind !== 'path') return [[name, JSON.stringify([...new Set(all)])]]
  return [
    [name, JSON.stringify(all)],
    [withinName(derived), JSON.stringify(directoriesAbove(all))],
  ]
}

function withinName({ name }: Derived): string {
  return `${name}_within`
}

/** The types have been checked by then: `value` is a string. */
function computed(derived: Derived, value: Json, at: string): string {
  const text = value as string
  if (derived.kind === 'path') {
    const found = normalisePath(text, derived.root)
    if (found.ok) return found.path
    throw unrepresentable(at, found.problem)
  }
  const found = derived.kind === 'url_host' ? urlHost(text) : emailDomain(text)
  if (found.ok) return found.domain
  throw unrepresentable(at, found.problem)
}
