// Owns saying how risky a tool is, by rules alone: name, description, arguments, annotations, in this order, each with its
// evidence. Everything it reads is the server's own word: it drafts what a reviewer decides, and never allows a call.
import type { Risk, Trust } from '../../../schemas/bundle.ts'
import { argumentsOf, argumentsSay, type Said, selectorsOf } from './classify-arguments.ts'
import { type Members, membersOf, textOf } from './json.ts'
import { FLAGS, type Flag, NOUNS, VERB_FLAGS } from './nouns.ts'
import {
  CONJUNCTIONS,
  type Effect,
  isWorse,
  NOUN_VERBS,
  PROSE_VERBS,
  VERBS,
  worst,
} from './verbs.ts'
import { baseForms, singular, withoutPrefix, wordsOf } from './words.ts'

/** Raised whenever the same definition may get another answer. */
export const RULES_VERSION = 1

/** Words of a description in which its first verb is looked for. */
const DESCRIPTION_WORDS_MAX = 12

export type Rule =
  | 'name-verb'
  | 'name-noun'
  | 'description-verb'
  | 'argument'
  | 'operation'
  | 'annotation'
  | 'trusted-annotation'
  | 'nothing-matched'
/** Which rule spoke, where (a JSON pointer into the definition), and what it saw there. */
export type Evidence = { readonly rule: Rule; readonly field: string; readonly match: string }
export type Confidence = 'high' | 'medium' | 'low'

export type Classification = {
  readonly effect: Effect
  /** The lock's group: `execute` and `unknown` are `destructive`. */
  readonly risk: Risk
  readonly flags: readonly Flag[]
  readonly confidence: Confidence
  readonly evidence: readonly Evidence[]
  /** Of a tool that does several things: what each value of the argument that chooses does. */
  readonly operations: readonly Operation[]
  /** What does not fit together, for a reviewer: an annotation that contradicts a verb. */
  readonly contradictions: readonly string[]
}
export type Operation = {
  readonly argument: string
  readonly value: string
  readonly effect: Effect
}

export type ClassifyOptions = {
  /** Id of the server: `git_commit` of `git` is `commit`. */
  readonly server?: string
  /** Whether the server's annotations may lower a risk: only those of an `internal` one. Default `vendor`. */
  readonly trust?: Trust
}

/** Deterministic, for any JSON; never throws. Does NOT follow `$ref`. */
export function classify(
  unverified: unknown,
  { server = '', trust = 'vendor' }: ClassifyOptions = {},
): Classification {
  const definition = membersOf(unverified)
  const words = withoutPrefix(wordsOf(textOf(definition['name'])), server)
  const about = wordsOf(textOf(definition['description']))
  const args = argumentsOf(definition)
  const named = nameSays(words) ?? descriptionSays(about)
  const operations = operationsOf(args, named?.effect)
  const spoken = worst([...(named === undefined ? [] : [named.effect]), ...operations.map((it) => it.effect)])
  const known = named !== undefined || operations.length > 0
  const changes = known && spoken !== 'read'
  const said = [
    ...(named?.said ?? []),
    ...operations.filter((it) => it.effect === spoken).map(({ effect: does, evidence }) => ({ effect: does, evidence })),
    ...nounsSay(words, changes),
    ...argumentsSay(args, { changes, about: [...words, ...about] }),
  ]
  const byRules = worst([known ? spoken : 'unknown', ...said.flatMap((it) => it.effect ?? [])])
  const annotated = annotationsSay(membersOf(definition['annotations']), byRules, trust)
  const all = [...said, ...annotated.said]
  const { effect } = annotated
  return {
    effect,
    risk: riskOf(effect),
    flags: flagsOf(all, effect),
    confidence: confidenceOf(named?.confidence, operations.length > 0, annotated),
    evidence: all.length === 0 ? [NOTHING] : all.map(({ evidence }) => evidence),
    operations: operations.map(({ argument, value, effect: does }) => ({ argument, value, effect: does })),
    contradictions: annotated.contradictions,
  }
} // biome-ignore format: one step a line

const NOTHING: Evidence = { rule: 'nothing-matched', field: '', match: '' }

/** The lock's group of an effect. */
export function riskOf(effect: Effect): Risk {
  return effect === 'read' || effect === 'write' ? effect : 'destructive'
}

type Named = {
  readonly effect: Effect
  readonly confidence: Confidence
  readonly said: readonly Said[]
}

/**
 * The first verb decides, and any verb joined to it by `and`, `or`, `then`; a destructive verb counts wherever it stands.
 * Without a verb, the worst of the words that may be one.
 */
function nameSays(words: readonly string[], field = '/name'): Named | undefined {
  const verbs = matching(words, VERBS)
  const joined = words.some((word) => CONJUNCTIONS.has(word))
  const [first] = verbs
  const deciding =
    first === undefined
      ? matching(words, NOUN_VERBS)
      : verbs.filter((verb) => verb === first || joined || verb.effect === 'destructive')
  if (deciding.length === 0) return undefined
  return {
    effect: worst(deciding.map(({ effect }) => effect)),
    confidence: first === undefined ? 'medium' : 'high',
    said: deciding.map(({ word, effect }) => verbSays(word, effect, 'name-verb', field)),
  }
}

function matching(words: readonly string[], table: ReadonlyMap<string, Effect>) {
  return words.flatMap((word) => {
    const effect = table.get(word)
    return effect === undefined ? [] : [{ word, effect }]
  })
}

function verbSays(word: string, effect: Effect, rule: Rule, field: string): Said {
  const flag = VERB_FLAGS.get(word)
  const evidence = { rule, field, match: word }
  return flag === undefined ? { effect, evidence } : { effect, flag, evidence }
}

/** Only where the name has no verb: the first verb among the first words. */
function descriptionSays(words: readonly string[]): Named | undefined {
  for (const written of words.slice(0, DESCRIPTION_WORDS_MAX)) {
    for (const word of baseForms(written)) {
      const effect = VERBS.get(word) ?? PROSE_VERBS.get(word)
      if (effect === undefined) continue
      const said = verbSays(word, effect, 'description-verb', '/description')
      return { effect, confidence: 'medium', said: [said] }
    }
  }
  return undefined
}

/** A value without a verb does what the name says, and is unknown where the name says nothing. */
function operationsOf(args: ReturnType<typeof argumentsOf>, byName: Effect | undefined) {
  return selectorsOf(args).flatMap(({ argument, at, values }) =>
    values.map((value) => ({
      argument,
      value,
      effect: nameSays(wordsOf(value))?.effect ?? byName ?? 'unknown',
      evidence: { rule: 'operation', field: at, match: value } as const,
    })),
  )
}

function nounsSay(words: readonly string[], changes: boolean): Said[] {
  const pairs = words.slice(1).map((word, index) => `${words[index] ?? ''} ${singular(word)}`)
  return [...words.map(singular), ...pairs].flatMap((word) => {
    const noun = NOUNS.get(word)
    if (noun === undefined || (noun.whenChanging && !changes)) return []
    return [{ flag: noun.flag, evidence: { rule: 'name-noun', field: '/name', match: word } }]
  })
}

function says(hint: string, value: boolean, rule: Rule = 'annotation'): Evidence {
  return { rule, field: `/annotations/${hint}`, match: String(value) }
}

type Annotated = {
  readonly effect: Effect
  readonly said: readonly Said[]
  readonly contradictions: readonly string[]
  readonly trusted: boolean
}

/** Hints raise; those of a trusted server may lower what is not destructive. Silence is no claim. */
function annotationsSay(hints: Members, effect: Effect, trust: Trust): Annotated {
  const { readOnlyHint, destructiveHint, openWorldHint } = hints
  const said: Said[] = []
  if (openWorldHint === true) said.push({ flag: 'open-world', evidence: says('openWorldHint', true) })
  if (destructiveHint === true && readOnlyHint !== true && isWorse('destructive', effect)) {
    said.push({ effect: 'destructive', evidence: says('destructiveHint', true) })
  } else if (readOnlyHint === false && effect === 'read') {
    said.push({ effect: 'write', evidence: says('readOnlyHint', false) })
  }
  const verbIsWorse = effect === 'destructive' || effect === 'execute'
  const contradictions =
    readOnlyHint === true && verbIsWorse
      ? [`\`readOnlyHint\` is true, but the rules say ${effect}`]
      : []
  const raised = worst([effect, ...said.flatMap((it) => it.effect ?? [])])
  const result = { effect: raised, said, contradictions, trusted: false }
  if (trust !== 'internal' || verbIsWorse || said.some((it) => it.effect !== undefined)) return result
  const lowered = trustedEffect(readOnlyHint, destructiveHint)
  if (lowered === undefined || !isWorse(effect, lowered)) return result
  const name = lowered === 'read' ? 'readOnlyHint' : 'destructiveHint'
  const evidence = says(name, lowered === 'read', 'trusted-annotation')
  return { ...result, effect: lowered, said: [...said, { evidence }], trusted: true }
} // biome-ignore format: long lines

function trustedEffect(readOnlyHint: unknown, destructiveHint: unknown): Effect | undefined {
  if (readOnlyHint === true) return 'read'
  return destructiveHint === false ? 'write' : undefined
}

/** In the order of FLAGS. What nobody can name is taken to reach the world outside. */
function flagsOf(said: readonly Said[], effect: Effect): Flag[] {
  const found = new Set(said.map(({ flag }) => flag))
  if (effect === 'unknown') found.add('open-world')
  return FLAGS.filter((flag) => found.has(flag))
}

function confidenceOf(
  named: Confidence | undefined,
  operated: boolean,
  { contradictions, trusted }: Annotated,
): Confidence {
  if (contradictions.length > 0) return 'low'
  if (operated) return 'high'
  return named ?? (trusted ? 'medium' : 'low')
}
