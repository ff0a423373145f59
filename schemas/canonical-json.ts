// Owns the one byte form of a leaf: RFC 8785 (JCS) narrowed to null, strings, safe integers, booleans, arrays and objects.
// Never used to verify: stored bytes are hashed as they are, and only then checked to be canonical.

export type Canonical =
  | null
  | string
  | number
  | boolean
  | readonly Canonical[]
  | { readonly [key: string]: Canonical }

/**
 * The canonical text. Throws TypeError on anything outside the profile: undefined, a fraction, an unsafe
 * integer, a lone surrogate. A caller that holds such a value has a bug, not a bad input.
 */
export function canonicalJson(value: Canonical): string {
  switch (typeof value) {
    case 'string':
      return quoted(value)
    case 'number':
      if (!Number.isSafeInteger(value))
        throw new TypeError(`the number ${value} has no canonical form`)
      return Object.is(value, -0) ? '0' : String(value)
    case 'boolean':
      return String(value)
    case 'object':
      if (value === null) return 'null'
      return Array.isArray(value) ? canonicalArray(value) : canonicalObject(value)
    default:
      throw new TypeError(`${typeof value} has no canonical form`)
  }
}

/** Whether `text` is exactly what canonicalJson would write for what it says. */
export function isCanonicalJson(text: string): boolean {
  try {
    return canonicalJson(JSON.parse(text) as Canonical) === text
  } catch {
    return false
  }
}

/** Printable ASCII without quote and backslash needs no escape: nearly every string of a leaf. */
const PLAIN = /^[ !#-[\]-~]*$/

function quoted(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`
  if (!text.isWellFormed()) throw new TypeError('a lone surrogate has no canonical form')
  return JSON.stringify(text)
}

function canonicalArray(items: readonly Canonical[]): string {
  return `[${items.map(canonicalJson).join(',')}]`
}

/** RFC 8785 §3.2.3: keys sorted by UTF-16 code units, which is what JavaScript's own sort does. */
function canonicalObject(value: object): string {
  const entries = value as { readonly [key: string]: Canonical }
  let members = ''
  for (const key of Object.keys(entries).toSorted()) {
    const separator = members === '' ? '' : ','
    members += `${separator}${quoted(key)}:${canonicalJson(entries[key] as Canonical)}`
  }
  return `{${members}}`
}
