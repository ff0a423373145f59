// Owns what the arguments of a tool say about its risk: code to run, what to do, whom to reach. Only top-level arguments
// and those of top-level alternatives are looked at, ARGUMENTS_MAX of them; `$ref` is not followed.
import type { Evidence } from './classify.ts'
import { elementsOf, type Members, membersOf, pointerTo } from './json.ts'
import {
  ARGUMENT_FLAGS,
  BULK_ARGUMENTS,
  CODE_ARGUMENTS,
  CODE_WORDS,
  type Flag,
  FORCING_ARGUMENTS,
  OPERATION_ARGUMENTS,
  PERHAPS_CODE_ARGUMENTS,
  PERHAPS_OPERATION_ARGUMENTS,
} from './nouns.ts'
import { type Effect, VERBS } from './verbs.ts'
import { wordsOf } from './words.ts'

const ARGUMENTS_MAX = 1_000
const OPERATIONS_MAX = 200

/** One argument: its name, the name in words (`apiKey` → `api key`), where it stands, its schema. */
type Argument = {
  readonly name: string
  readonly words: string
  readonly at: string
  readonly schema: Members
}

export type Said = { readonly effect?: Effect; readonly flag?: Flag; readonly evidence: Evidence }
/** The values of an argument that chooses what a consolidated tool does. */
export type Selector = {
  readonly argument: string
  readonly at: string
  readonly values: readonly string[]
}

/** Every argument of the tool, those of top-level `allOf`, `anyOf` and `oneOf` too. */
export function argumentsOf(definition: Members): Argument[] {
  const schema = membersOf(definition['inputSchema'])
  const places: [string, unknown][] = [['/inputSchema', schema]]
  for (const keyword of ['allOf', 'anyOf', 'oneOf']) {
    for (const [index, branch] of elementsOf(schema[keyword]).entries())
      places.push([pointerTo(`/inputSchema/${keyword}`, index), branch])
    if (places.length > ARGUMENTS_MAX) break
  }
  const found = places.flatMap(([at, place]) =>
    Object.entries(membersOf(membersOf(place)['properties']))
      .slice(0, ARGUMENTS_MAX)
      .map(([name, value]) => ({
        name,
        words: wordsOf(name).join(' '),
        at: pointerTo(`${at}/properties`, name),
        schema: membersOf(value),
      })),
  )
  return found.slice(0, ARGUMENTS_MAX)
}

/** Arguments that choose among operations: `{"method": {"enum": ["create", "delete"]}}`. */
export function selectorsOf(args: readonly Argument[]): Selector[] {
  return args.flatMap(({ name, words, at, schema }) => {
    const values = choicesOf(schema).slice(0, OPERATIONS_MAX)
    const verbs = values.filter((value) => wordsOf(value).some((word) => VERBS.has(word)))
    const chooses =
      (OPERATION_ARGUMENTS.has(words) && verbs.length > 0) ||
      (PERHAPS_OPERATION_ARGUMENTS.has(words) && verbs.length * 2 > values.length)
    return chooses ? [{ argument: name, at, values }] : []
  })
}

function choicesOf(schema: Members): string[] {
  const alternatives = [...elementsOf(schema['anyOf']), ...elementsOf(schema['oneOf'])]
  const values = [schema, membersOf(schema['items']), ...alternatives].flatMap((one) => [
    ...elementsOf(membersOf(one)['enum']),
    membersOf(one)['const'],
  ])
  return [...new Set(values.filter((value) => typeof value === 'string'))]
}

/**
 * What the arguments say, in their order. `changes`: whether the tool is known to do more than read, by its name.
 * `about`: the words of its name and description.
 */
export function argumentsSay(
  args: readonly Argument[],
  { changes, about }: { readonly changes: boolean; readonly about: readonly string[] },
): Said[] {
  const speaksOfCode = about.some((word) => CODE_WORDS.has(word))
  return args.flatMap(({ words, at, schema }) => {
    const evidence = { rule: 'argument', field: at, match: words } as const
    const said: Said[] = []
    if (holdsText(schema)) {
      const holdsCode =
        CODE_ARGUMENTS.has(words) || (speaksOfCode && PERHAPS_CODE_ARGUMENTS.has(words))
      // An enum is chosen from, not run.
      if (holdsCode && choicesOf(schema).length === 0)
        said.push({ effect: 'execute', flag: 'code-exec', evidence })
    }
    if (schema['type'] === 'boolean') {
      if (changes && FORCING_ARGUMENTS.has(words)) said.push({ effect: 'destructive', evidence })
      if (BULK_ARGUMENTS.has(words)) said.push({ flag: 'bulk', evidence })
    }
    const named = ARGUMENT_FLAGS.get(words)
    if (named !== undefined && (changes || !named.whenChanging))
      said.push({ flag: named.flag, evidence })
    return said
  })
}

/** A string, a list of strings, or a schema that does not say. */
function holdsText(schema: Members): boolean {
  const { type } = schema
  if (type === undefined || type === 'string') return true
  if (type === 'array') return holdsText(membersOf(schema['items']))
  return Array.isArray(type) && type.includes('string')
}
