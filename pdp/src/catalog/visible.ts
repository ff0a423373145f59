// Owns making text of a server safe to look at: whatever a terminal or a page would hide, obey or reorder is spelt out.
// Never for a machine to read back: `\u{202e}` may also have been written so.

/** Left-to-right and right-to-left marks, embeddings, overrides and isolates. */
export const BIDI = /[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/u
/** What takes no place on the screen: format characters, fillers, variation selectors, tags; not the emoji selector. */
export const INVISIBLE = /(?!\u{FE0F})[\p{Cf}\p{Default_Ignorable_Code_Point}\u2800]/u
/** What a terminal obeys: C0 and C1 with ESC; not tab and line ends, which prose has. */
export const CONTROL = /(?![\t\n\r])\p{Cc}/u
const HIDDEN =
  /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}\p{Cs}\p{Default_Ignorable_Code_Point}\u2800]/gu

const WORD = /\p{L}[\p{L}\p{M}]*/gu
const LATIN = /\p{Script=Latin}/u
/** Scripts with letters that look like Latin ones. */
const LOOKALIKE =
  /[\p{Script=Cyrillic}\p{Script=Greek}\p{Script=Armenian}\p{Script=Cherokee}\p{Script=Lisu}]/u
const LOOKALIKES = new RegExp(LOOKALIKE, 'gu')

/** Line ends become `⏎`, other hidden characters `\u{…}`, and so do the foreign letters of a word in two scripts. */
export function visible(text: string): string {
  return text
    .replaceAll(/\r?\n/g, '⏎')
    .replaceAll(HIDDEN, escaped)
    .replaceAll(WORD, (word) => (isMixedScript(word) ? word.replaceAll(LOOKALIKES, escaped) : word))
}

/** Words with letters of Latin and of a script that can pass for it (`pаypal`), at most `max`, as they came. */
export function mixedScriptWords(text: string, max: number): string[] {
  const found: string[] = []
  for (const [word] of text.matchAll(WORD)) {
    if (isMixedScript(word)) found.push(word)
    if (found.length >= max) break
  }
  return found
}

function isMixedScript(word: string): boolean {
  return LATIN.test(word) && LOOKALIKE.test(word)
}

function escaped(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`
}
