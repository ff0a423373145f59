// Owns what two bundles differ in, by what they are and not by how they are written. Pure.
import canonicalize from 'canonicalize'
import type { PrintedContent } from './content.ts'

/** `what`: `policy eng/read`, `base policy cedargate/scope-read`, `server files`, `tool files/read_file`, `schema`, `entity …`, `gateway`. */
export type Difference = {
  readonly change: 'added' | 'removed' | 'changed'
  readonly what: string
  /** One line a side where that says it all: a policy's text, a tool's risk and hash. */
  readonly before: string | null
  readonly after: string | null
}

/** Sorted by `what`. Two bundles of one id have none. */
export function differences(before: PrintedContent, after: PrintedContent): Difference[] {
  const [old, now] = [partsOf(before), partsOf(after)]
  const names = [...new Set([...old.keys(), ...now.keys()])].toSorted()
  return names.flatMap((what): Difference[] => {
    const [was, is] = [old.get(what) ?? null, now.get(what) ?? null]
    if (was === is) return []
    const change = was === null ? 'added' : is === null ? 'removed' : 'changed'
    return [{ change, what, before: was, after: is }]
  })
}

function partsOf({
  gateway,
  base,
  policies,
  own,
  servers,
}: PrintedContent): ReadonlyMap<string, string> {
  const parts = new Map([['gateway', text(gateway)]])
  for (const [id, policy] of Object.entries(policies)) parts.set(`policy ${id}`, policy)
  for (const [id, policy] of Object.entries(base)) parts.set(`base policy ${id}`, policy)
  for (const [namespace, types] of Object.entries(own.schema)) {
    parts.set(`schema ${namespace}`.trim(), text(types))
  }
  for (const entity of own.entities) parts.set(`entity ${entityName(entity)}`, text(entity))
  for (const [id, { server, lock }] of Object.entries(servers)) {
    parts.set(`server ${id}`, text(server))
    for (const [name, tool] of toolsOf(lock)) parts.set(`tool ${id}/${name}`, tool)
  }
  return parts
}

type Locked = {
  readonly risk: string
  readonly sha256: string
  readonly definition: { readonly name: string }
}

/** Every variant of a tool by its risk and hash: the definitions themselves are for `tools diff`. */
function toolsOf(lock: unknown): ReadonlyMap<string, string> {
  const { tools } = lock as { readonly tools: readonly Locked[] }
  const byName = Map.groupBy(tools, ({ definition }) => definition.name)
  return new Map(
    [...byName].map(([name, variants]) => {
      const said = variants.map(({ risk, sha256 }) => `${risk} ${sha256}`)
      return [name, said.toSorted().join(', ')]
    }),
  )
}

function entityName(entity: unknown): string {
  return text((entity as { readonly uid?: unknown }).uid ?? null)
}

function text(value: unknown): string {
  return canonicalize(value) ?? ''
}
