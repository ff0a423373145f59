// Owns the derived attributes that a server.yaml declares: their names and roots, and which of them no tool has. Never
// computes one: that is authorize's.
import type { Derivation } from '../../../schemas/bundle.ts'
import { expandVariables } from '../../../schemas/expand.ts'
import type { Derived } from '../authorize/derived.ts'
import { derivedNames } from '../authorize/derived.ts'
import { absoluteRoot } from '../authorize/paths.ts'
import type { ToolArguments } from '../authorize/tool-arguments.ts'

type Environment = Readonly<Record<string, string | undefined>>
type Derivations = { readonly derived: readonly Derived[]; readonly problems: readonly string[] }

/** `written` with its roots expanded and its attributes named, and what is wrong with it. */
export function readDerivations(written: readonly Derivation[], env: Environment): Derivations {
  const read = written.map((derivation) => readDerivation(derivation, env))
  const derived = read.flatMap((of) => of.derived)
  const problems = derived.flatMap((one, index) => {
    const before = new Set(derived.slice(0, index).flatMap(derivedNames))
    const name = derivedNames(one).find((own) => before.has(own))
    return name === undefined ? [] : [`\`${name}\` is derived twice`]
  })
  return { derived, problems: [...read.flatMap((of) => of.problems), ...problems] }
}

function readDerivation(derivation: Derivation, env: Environment): Derivations {
  const named = derivation.arguments.map((argument) => {
    return { argument, name: `${argument}${derivation.suffix}` }
  })
  const { kind } = derivation
  if (kind !== 'path') return { derived: named.map((of) => ({ kind, ...of })), problems: [] }
  const expanded = expandVariables(derivation.root, env)
  if (!expanded.ok) return { derived: [], problems: [`derive root: ${expanded.message}`] }
  const root = absoluteRoot(expanded.value)
  if (root !== undefined)
    return { derived: named.map((of) => ({ kind, ...of, root })), problems: [] }
  return { derived: [], problems: [`derive root \`${derivation.root}\` must be an absolute path`] }
}

/** Those of `derived` that no variant of these tools has: a misspelt argument, or one of another type. */
export function withoutEffect(
  derived: readonly Derived[],
  tools: readonly ToolArguments[],
): readonly Derived[] {
  const variants = tools.flatMap((tool) => [...tool.variants.values()])
  const used = new Set(variants.flatMap((variant) => variant.derived))
  return variants.length === 0 ? [] : derived.filter((one) => !used.has(one))
}
