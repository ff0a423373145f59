// Owns finding what does not belong into a tool's definition: places to send things to, orders to the agent, secrecy,
// another tool's name, hidden characters, packed data. Never a verdict: what a change introduces is shown to a reviewer.
import { pointerTo } from './json.ts'
import { BIDI, CONTROL, INVISIBLE, mixedScriptWords, visible } from './visible.ts'

export const CUES = [
  'url',
  'e-mail',
  'ip-host',
  'imperative',
  'secrecy',
  'other-tool',
  'invisible',
  'bidi',
  'control',
  'mixed-script',
  'base64',
  'too-long',
] as const
export type CueKind = (typeof CUES)[number]
/** What was found (made visible, MATCH_LENGTH_MAX characters) and where, as a JSON pointer. */
export type Cue = { readonly kind: CueKind; readonly at: string; readonly match: string }

/** Cues that are reported of one definition, and of one text of one kind. */
export const CUES_MAX = 200
const TEXT_CUES_MAX = 20
const MATCH_LENGTH_MAX = 120
/** Characters of a definition that are looked at; that there are more is a cue of its own, `too-long`. */
export const CUE_TEXT_LENGTH_MAX = 256 * 1024
/** Texts below that stand too deep for any lock. */
const DEPTH_MAX = 64

/** Every quantifier is bounded, so that no text can make them slow. */
const PATTERNS: readonly (readonly [CueKind, RegExp])[] = [
  ['url', /\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s"'<>()]{1,200}|\b(?:javascript|data|mailto):[^\s"'<>()]{1,200}/giu],
  ['e-mail', /[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}/gu],
  ['ip-host', /\b\d{1,3}(?:\.\d{1,3}){3}\b/gu],
  ['base64', /[A-Za-z0-9+/_-]{80,2000}={0,2}/gu],
] // biome-ignore format: one kind a line

/** Looked for in prose that was NFKC-normalised, without invisible characters, with single spaces. */
const PROSE_PATTERNS: readonly (readonly [CueKind, RegExp])[] = [
  ['imperative', /\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:previous|prior|above|earlier|other|system|all|safety|instructions?|rules?|polic(?:y|ies))\b/giu],
  ['imperative', /\b(?:you|assistants?|agents?|models?|llms?|ai) (?:must|should|shall|need to|have to|are required)\b/giu],
  ['imperative', /\b(?:always|never|must) (?:\w{1,20} ){0,2}?(?:ask|call|confirm|use|include|send|pass|run|invoke|read|add|set|copy|forward|first)\b/giu],
  ['imperative', /\b(?:before|after|instead of|prior to) (?:\w{1,20} ){0,2}?(?:using|calling|invoking|running|answering|any other tool)\b/giu],
  ['imperative', /\bdo(?: not|n['’]t) (?:ask|confirm|wait|check|verify|use|call)\b|\bwithout (?:asking|confirmation|confirming|approval)\b/giu],
  ['imperative', /<\/?(?:important|system|instructions?|admin|assistant|user|secret)\b[^>]{0,40}>|\[(?:system|inst)\]|\bsystem prompt\b/giu],
  ['secrecy', /\bdo(?: not|n['’]t) (?:ever )?(?:tell|mention|reveal|inform|show|disclose|notify|say|display|let the user)\b/giu],
  ['secrecy', /\b(?:silently|secretly|covertly|quietly|discreetly|stealthily)\b|\bwithout (?:telling|informing|notifying|mentioning|the user)\b/giu],
  ['secrecy', /\b(?:hide|conceal|keep) (?:\w{1,20} ){0,3}?(?:from|secret|hidden|confidential|private)\b|\bnever (?:tell|mention|reveal|disclose|inform)\b/giu],
] // biome-ignore format: one order a line

/**
 * Cues in every key and text of a definition, at most CUES_MAX. `otherTools`: names of other tools; a plain word among
 * them (`search`) is in too many descriptions to mean anything and is not looked for. Never throws.
 */
export function cuesIn(definition: unknown, otherTools: readonly string[] = []): Cue[] {
  const names = new Set(
    otherTools.filter((name) => name.length > 5 && /[-_./]|[a-z][A-Z]/.test(name)),
  )
  const found: Cue[] = []
  let length = 0
  for (const { at, text } of textsIn(definition)) {
    length += text.length
    if (length > CUE_TEXT_LENGTH_MAX)
      return [...found, { kind: 'too-long', at, match: 'the rest is not looked at' }]
    for (const cue of cuesOf(text, at, names)) {
      found.push(cue)
      if (found.length === CUES_MAX) return found
    }
  }
  return found
}

/** Cues of `after` that `before` has nowhere: the same kind with the same match. */
export function introducedCues(before: readonly Cue[], after: readonly Cue[]): Cue[] {
  const known = new Set(before.map(({ kind, match }) => `${kind} ${match}`))
  return after.filter(({ kind, match }) => !known.has(`${kind} ${match}`))
}

/** The name of a dialect of JSON Schema is no place that anything is sent to. */
function isDialect(text: string, at: string): boolean {
  return at.endsWith('/$schema') && /^https?:\/\/json-schema\.org\/[\w/.#-]{0,64}$/.test(text)
}

function cuesOf(text: string, at: string, names: ReadonlySet<string>): Cue[] {
  if (isDialect(text, at)) return []
  const prose = text
    .normalize('NFKC')
    .replaceAll(new RegExp(INVISIBLE, 'gu'), '')
    .replaceAll(/\s+/g, ' ')
  const cue = (kind: CueKind, match: string): Cue => {
    return { kind, at, match: visible(match).slice(0, MATCH_LENGTH_MAX) }
  }
  const matches = (kind: CueKind, pattern: RegExp, where: string): Cue[] =>
    [...where.matchAll(pattern).take(TEXT_CUES_MAX)].map(([match]) => cue(kind, match))
  return [
    ...PATTERNS.flatMap(([kind, pattern]) => matches(kind, pattern, text)),
    ...PROSE_PATTERNS.flatMap(([kind, pattern]) => matches(kind, pattern, prose)),
    ...namesIn(prose, names).map((name) => cue('other-tool', name)),
    ...characters('bidi', BIDI),
    ...characters('invisible', new RegExp(`(?!${BIDI.source})${INVISIBLE.source}`, 'u')),
    ...characters('control', CONTROL),
    ...mixedScriptWords(text, TEXT_CUES_MAX).map((word) => cue('mixed-script', word)),
  ]

  function characters(kind: CueKind, pattern: RegExp): Cue[] {
    const distinct = new Set(text.match(new RegExp(pattern, 'gu')))
    return [...distinct].slice(0, TEXT_CUES_MAX).map((character) => cue(kind, character))
  }
}

function namesIn(prose: string, names: ReadonlySet<string>): string[] {
  if (names.size === 0) return []
  const words = prose.matchAll(/\w[\w./-]{4,126}\w/gu)
  return [
    ...words
      .map(([word]) => word)
      .filter((word) => names.has(word))
      .take(TEXT_CUES_MAX),
  ]
}

/** Texts and keys, breadth first; keys stand at the pointer of their value. */
function* textsIn(definition: unknown): Generator<{ readonly at: string; readonly text: string }> {
  let level: { at: string; value: unknown }[] = [{ at: '', value: definition }]
  for (let depth = 0; depth < DEPTH_MAX && level.length > 0; depth++) {
    const next: typeof level = []
    for (const { at, value } of level) {
      if (typeof value === 'string') yield { at, text: value }
      if (typeof value !== 'object' || value === null) continue
      for (const [key, inner] of Object.entries(value)) {
        const below = pointerTo(at, key)
        if (!Array.isArray(value)) yield { at: below, text: key }
        next.push({ at: below, value: inner })
      }
    }
    level = next
  }
}
