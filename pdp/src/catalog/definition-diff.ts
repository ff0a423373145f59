// Owns showing what changed between two definitions: prose word by word, everything else by JSON pointer. All that comes
// out is safe to look at (visible.ts). Never leaves something out without saying so.
import { diffWordsWithSpace } from 'diff'
import { changedLeaves } from './change.ts'
import { type Leaf, leavesOf } from './parts.ts'
import { visible } from './visible.ts'

/** Changes that are shown; the number of all is in `total`. */
export const DIFF_CHANGES_MAX = 200
/** Characters of one value, and of one run of words, that are shown. */
export const DIFF_TEXT_LENGTH_MAX = 4_000
/** Prose that is compared word by word: longer, or with more differing words, is shown as before and after. */
export const WORD_DIFF_LENGTH_MAX = 20_000
export const WORD_DIFF_EDITS_MAX = 1_000

/** `cut`: how many characters of the original are not shown. */
export type Shown = { readonly text: string; readonly cut: number }
export type Words = Shown & { readonly kind: 'same' | 'removed' | 'added' }
export type LeafChange = {
  /** JSON pointer, made visible. */
  readonly at: string
  /** Of prose only: the words in their order. Empty where it is no text, or too long to be compared by words. */
  readonly words: readonly Words[]
  /** The value as JSON text; null where there is none. */
  readonly before: Shown | null
  readonly after: Shown | null
}
export type DefinitionDiff = { readonly changes: readonly LeafChange[]; readonly total: number }

/** From `before` (undefined for a tool that is new) to `after` (undefined for one that is gone). */
export function diffDefinitions(before: unknown, after: unknown): DefinitionDiff {
  const [old, now] = [leavesOfAny(before), leavesOfAny(after)]
  const pointers = changedLeaves(old, now)
  const changes = pointers
    .slice(0, DIFF_CHANGES_MAX)
    .map((at) => leafChange(at, old.get(at), now.get(at)))
  return { changes, total: pointers.length }
}

function leavesOfAny(definition: unknown): ReadonlyMap<string, Leaf> {
  return definition === undefined ? new Map() : leavesOf(definition)
}

function leafChange(at: string, before: Leaf | undefined, after: Leaf | undefined): LeafChange {
  const prose = before?.part === 'prose' && after?.part === 'prose'
  return {
    at: visible(at.slice(0, DIFF_TEXT_LENGTH_MAX)),
    words: prose ? wordsChanged(before.value, after.value) : [],
    before: before === undefined ? null : shown(before.text),
    after: after === undefined ? null : shown(after.text),
  }
}

/** Both in one text, each hidden character already spelt out, so that a word that only hides something differs. */
function wordsChanged(before: unknown, after: unknown): Words[] {
  if (typeof before !== 'string' || typeof after !== 'string') return []
  if (Math.max(before.length, after.length) > WORD_DIFF_LENGTH_MAX) return []
  const parts = diffWordsWithSpace(visible(before), visible(after), {
    maxEditLength: WORD_DIFF_EDITS_MAX,
  })
  return (parts ?? []).map(({ value, added, removed }) => {
    return { kind: added ? 'added' : removed ? 'removed' : 'same', ...shownText(value) }
  })
}

/** Cut before it is made visible, which makes it longer and takes its time. */
function shown(text: string): Shown {
  const cut = Math.max(0, text.length - DIFF_TEXT_LENGTH_MAX)
  return { text: visible(text.slice(0, DIFF_TEXT_LENGTH_MAX)), cut }
}

function shownText(text: string): Shown {
  return {
    text: text.slice(0, DIFF_TEXT_LENGTH_MAX),
    cut: Math.max(0, text.length - DIFF_TEXT_LENGTH_MAX),
  }
}
