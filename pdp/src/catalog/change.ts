// Owns naming what changed between a reviewed definition and a live one. Deterministic; never says that a change is fine:
// every class needs its reviewer, and a lock needs the hash.
import { type ClassifyOptions, classify } from './classify.ts'
import { type Cue, cuesIn, introducedCues } from './cues.ts'
import { membersOf } from './json.ts'
import { type Leaf, leavesOf, type Part } from './parts.ts'
import { schemaChange } from './schema-change.ts'
import { isWorse } from './verbs.ts'

/**
 * safety-weakened: the server's hints claim less danger than before. safety-strengthened: they claim more. risk-up: the
 * rules say a worse effect. meta: members that no client needs to call the tool (icons, `_meta`, unknown ones).
 */
export const CHANGE_CLASSES = [
  'added',
  'removed',
  'prose',
  'contract-narrowed',
  'contract-widened',
  'contract-other',
  'safety-weakened',
  'safety-strengthened',
  'risk-up',
  'cue-introduced',
  'meta',
] as const
export type ChangeClass = (typeof CHANGE_CLASSES)[number]

export type Change = {
  /** In the order of CHANGE_CLASSES; empty when the live definition is a reviewed one. */
  readonly classes: readonly ChangeClass[]
  /** Of an added tool all it has, of a changed one those that the reviewed definition has nowhere. */
  readonly cues: readonly Cue[]
  /** The reviewed definition that the live one was compared with: the variant with the fewest differences. */
  readonly reviewed: unknown
}

export type ChangeOptions = ClassifyOptions & {
  /** Names of the other tools of the same server, and of more where they are known. */
  readonly otherTools?: readonly string[]
}

/**
 * `reviewed`: every variant in the lock, none for a tool that was never reviewed; `live` undefined when the server no
 * longer lists it. Throws only for what is no JSON. Does NOT compare hashes.
 */
export function changeOf(
  reviewed: readonly unknown[],
  live: unknown,
  options: ChangeOptions = {},
): Change {
  if (live === undefined) return { classes: ['removed'], cues: [], reviewed: reviewed.at(-1) }
  const cues = cuesIn(live, options.otherTools)
  const leaves = leavesOf(live)
  const found = nearest(reviewed, leaves)
  if (found === undefined)
    return { classes: cues.length === 0 ? ['added'] : ['added', 'cue-introduced'], cues, reviewed: undefined }
  const { definition: before } = found
  const introduced = introducedCues(cuesIn(before, options.otherTools), cues)
  const classes = new Set([
    ...partsChanged({ before, live, parts: partsOf(found.leaves, leaves) }),
    ...safetyChange(membersOf(membersOf(before)['annotations']), membersOf(membersOf(live)['annotations'])),
  ])
  const effects = [before, live].map((it) => classify(it, options).effect)
  if (isWorse(effects[1] ?? 'unknown', effects[0] ?? 'unknown')) classes.add('risk-up')
  if (introduced.length > 0) classes.add('cue-introduced')
  return { classes: CHANGE_CLASSES.filter((name) => classes.has(name)), cues: introduced, reviewed: before }
} // biome-ignore format: long lines

type Leaves = ReadonlyMap<string, Leaf>

/** Pointers of the leaves that one of the two has and the other has not, or has otherwise. */
export function changedLeaves(before: Leaves, after: Leaves): string[] {
  return [...new Set([...before.keys(), ...after.keys()])].filter(
    (at) => before.get(at)?.text !== after.get(at)?.text,
  )
}

type Reviewed = { readonly definition: unknown; readonly leaves: Leaves }

function nearest(variants: readonly unknown[], live: Leaves): Reviewed | undefined {
  let best: (Reviewed & { readonly distance: number }) | undefined
  for (const definition of variants) {
    const leaves = leavesOf(definition)
    const distance = changedLeaves(leaves, live).length
    if (best === undefined || distance <= best.distance) best = { definition, leaves, distance }
  }
  return best
}

/** The part of each changed leaf. */
function partsOf(before: Leaves, after: Leaves): Map<string, Part> {
  const changed = changedLeaves(before, after)
  return new Map(changed.map((at) => [at, (after.get(at) ?? before.get(at))?.part ?? 'contract']))
}

type Compared = {
  readonly before: unknown
  readonly live: unknown
  readonly parts: ReadonlyMap<string, Part>
}

function partsChanged({ before, live, parts }: Compared): ChangeClass[] {
  // One of them is too long to be taken apart, or is no object: there is no more to say.
  if (parts.has('')) return ['contract-other']
  const found: ChangeClass[] = []
  for (const [at, part] of parts) {
    if (part === 'prose' || part === 'meta') found.push(part)
    else if (part === 'contract' && !at.startsWith(INPUT)) found.push('contract-other')
    else if (part === 'safety' && !HINTS.some(({ name }) => at === `/annotations/${name}`))
      found.push('meta')
  }
  const directions = schemaChange(membersOf(before)['inputSchema'], membersOf(live)['inputSchema'])
  const changed = [...parts].some(([at, part]) => part === 'contract' && at.startsWith(INPUT))
  // A schema that reads differently and takes the same is still not what was reviewed.
  if (changed && directions.size === 0) found.push('contract-other')
  return [...found, ...[...directions].map((it) => `contract-${it}` as const)]
}

const INPUT = '/inputSchema'

/** What each hint claims, from harmless to dangerous; silence stands between the two. */
const HINTS = [
  { name: 'readOnlyHint', harmless: true },
  { name: 'destructiveHint', harmless: false },
  { name: 'idempotentHint', harmless: true },
  { name: 'openWorldHint', harmless: false },
] as const

function safetyChange(
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
): ChangeClass[] {
  return HINTS.flatMap(({ name, harmless }) => {
    const danger = (value: unknown): number =>
      typeof value === 'boolean' ? (value === harmless ? 0 : 2) : 1
    const [old, now] = [danger(before[name]), danger(after[name])]
    if (old !== now) return [now < old ? 'safety-weakened' : 'safety-strengthened']
    return JSON.stringify(before[name]) === JSON.stringify(after[name]) ? [] : ['meta']
  })
}
