// Owns cutting names and prose into words that the tables can be asked for. Never a judgement.

/** Characters of one text that are cut into words; what follows them is not looked at. */
const TEXT_LENGTH_MAX = 2_000

/** `listPull_requests2` → list, pull, requests2. Lower case, after NFKC; nothing but letters and digits is kept. */
export function wordsOf(text: string): string[] {
  return text
    .slice(0, TEXT_LENGTH_MAX)
    .normalize('NFKC')
    .replaceAll(/(\p{Ll}|\d)(\p{Lu})/gu, '$1 $2')
    .replaceAll(/(\p{Lu})(\p{Lu}\p{Ll})/gu, '$1 $2')
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '')
}

/** The words without those of the server's id before them (`git_commit` of `git`), unless nothing else is left. */
export function withoutPrefix(words: readonly string[], prefix: string): readonly string[] {
  const before = wordsOf(prefix)
  const has = before.length > 0 && before.every((word, index) => words[index] === word)
  return has && words.length > before.length ? words.slice(before.length) : words
}

/** What a word of prose may be a form of: `deletes`, `queries`, `deleting`, `running`. Itself first. */
export function baseForms(word: string): string[] {
  const forms = [word]
  if (word.endsWith('ies')) forms.push(`${word.slice(0, -3)}y`)
  if (word.endsWith('es')) forms.push(word.slice(0, -2))
  if (word.endsWith('s')) forms.push(word.slice(0, -1))
  if (word.endsWith('ing')) {
    const stem = word.slice(0, -3)
    forms.push(stem, `${stem}e`)
    if (stem.at(-1) === stem.at(-2)) forms.push(stem.slice(0, -1))
  }
  return forms
}

/** `policies` → policy, `roles` → role, `access` → access. */
export function singular(word: string): string {
  if (word.endsWith('ies')) return `${word.slice(0, -3)}y`
  return word.endsWith('s') && !word.endsWith('ss') ? word.slice(0, -1) : word
}
