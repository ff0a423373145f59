// Owns finding out which parts of a context a policy can look at. Pure, over Cedar's JSON expressions.
// Errs on the side of more: a shape that is not known here counts as reading all it holds.

/**
 * `context.request.time` is ['request', 'time']; `context` by itself is []. `presence`: asked for with `has`, which
 * does not look at the value of the last attribute.
 */
export type ContextPath = { readonly attributes: readonly string[]; readonly presence: boolean }

/** Every path read in `expression`, each as long as it goes. */
export function contextPaths(expression: unknown): ContextPath[] {
  if (Array.isArray(expression)) return expression.flatMap(contextPaths)
  if (!isObject(expression)) return []
  const path = accessed(expression)
  if (path !== undefined) return [path]
  return Object.entries(expression).flatMap(([key, value]) =>
    key === 'Value' ? [] : contextPaths(value),
  )
}

/** Whether the variable `action` occurs: only then can one condition differ between two actions. */
export function readsAction(expression: unknown): boolean {
  if (Array.isArray(expression)) return expression.some(readsAction)
  if (!isObject(expression)) return false
  return expression['Var'] === 'action' || Object.values(expression).some(readsAction)
}

/** Of each attribute of the context, the inner attributes that are read, or all of it. */
export type ContextReads = 'all' | ReadonlyMap<string, 'all' | ReadonlySet<string>>

/** What of the context must be there for `expressions` to evaluate as if all of it were. */
export function contextReads(expressions: readonly unknown[]): ContextReads {
  const reads = new Map<string, 'all' | Set<string>>()
  for (const { attributes, presence } of expressions.flatMap(contextPaths)) {
    const [attribute, inner] = attributes
    if (attribute === undefined) return 'all'
    const known = reads.get(attribute) ?? new Set<string>()
    if (known === 'all') continue
    if (inner !== undefined) known.add(inner)
    reads.set(attribute, inner === undefined && !presence ? 'all' : known)
  }
  return reads
}

/** undefined: not an access to the context. */
function accessed(expression: Record<string, unknown>): ContextPath | undefined {
  if (expression['Var'] === 'context') return { attributes: [], presence: false }
  const presence = expression['has'] !== undefined
  const access = presence ? expression['has'] : expression['.']
  if (!isObject(access) || !isObject(access['left'])) return undefined
  const below = accessed(access['left'])
  if (below === undefined || below.presence) return undefined
  return { attributes: [...below.attributes, ...[access['attr']].flat().map(String)], presence }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
