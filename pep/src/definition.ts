// Owns the fingerprint of a tool definition as a server gave it, and remembering it by the
// definition's text. Never judges one.
import { hash } from 'node:crypto'
import canonicalize from 'canonicalize'
import { FINGERPRINTS_LENGTH_MAX } from './limits.ts'

export type Definition = {
  /** Lower-case hex SHA-256 of `content`. */
  readonly sha256: string
  /** RFC 8785 form of the whole definition. */
  readonly content: string
}

/**
 * Of a definition exactly as the server gave it, every member. One that has no RFC 8785 form (a
 * lone surrogate, an endless number, too deep) gets that of a pair nobody can have reviewed.
 */
export function readDefinition(definition: unknown): Definition {
  try {
    const content = canonicalize(definition)
    if (content !== undefined) return definitionOf(content)
  } catch {
    // What cannot be read is held like any other that was not reviewed.
  }
  return definitionOf('["unreadable",null]')
}

/**
 * Of a tool listed in two ways, by the fingerprints of both: a definition of its own that nobody
 * reviewed, for either may be what a client shows.
 */
export function pairOf(one: string, other: string): Definition {
  return definitionOf(JSON.stringify([one, other]))
}

function definitionOf(content: string): Definition {
  return { sha256: hash('sha256', content), content }
}

/** Answers `readDefinition` of the same definition, or only its fingerprint where that was seen before. */
export type Fingerprints = (definition: unknown) => string

/**
 * Remembers fingerprints by the text of the definition, up to FINGERPRINTS_LENGTH_MAX characters of
 * text in all; the oldest go first.
 */
export function createFingerprints(): Fingerprints {
  const known = new Map<string, string>()
  let length = 0
  return (definition) => {
    const text = textOf(definition)
    const found = known.get(text)
    if (found !== undefined) return found
    const { sha256 } = readDefinition(definition)
    if (text === '' || text.length > FINGERPRINTS_LENGTH_MAX) return sha256
    known.set(text, sha256)
    length += text.length
    for (const oldest of known.keys()) {
      if (length <= FINGERPRINTS_LENGTH_MAX) break
      known.delete(oldest)
      length -= oldest.length
    }
    return sha256
  }
}

/** '' for what is too deep to be written. */
function textOf(definition: unknown): string {
  try {
    return JSON.stringify(definition) ?? ''
  } catch {
    return '' // Nothing to remember it by.
  }
}
