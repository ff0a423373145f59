// Owns the normalisation of a path argument, the one thing policies may compare a path by. Pure and lexical:
// no file is looked at, so a symbolic link inside a server is NOT resolved, neither below the root nor as the root.

/** A normalised path, or why there is none. `problem` never quotes the path. */
export type NormalisedPath =
  | { readonly ok: true; readonly path: string }
  | { readonly ok: false; readonly problem: string }

const CONTROL = /\p{Cc}/u
const QUOTED = /^["']|["']$/
/** `.`, `/`, `\` and NUL in percent-encoding, however often encoded; bytes that no UTF-8 has; `%u002e`. */
const ENCODED = /%(?:25)*(?:2e|2f|5c|00|c0|c1|u00)/i
const ADDRESS = /^(?:file:|[a-z][a-z\d+.-]*:\/\/)/i

/**
 * `unverified` resolved against `root` (as absoluteRoot gave it) by the rules of POSIX: relative to the root when it
 * lies below, `.` for the root itself, otherwise absolute, so that what is outside always begins with `/`.
 *
 * Refuses every spelling that a server might read differently from us: empty, control characters, a backslash,
 * white space or a quote at either end, a leading `~`, a URL, percent-encoded separators and dots, characters that
 * compatibility folds to those, and text that is not in Unicode normal form C (servers look files up by their
 * normalised name). Other percent-encoding stays as it is. Upper and lower case stay different, also where a file system folds them.
 */
export function normalisePath(unverified: string, root: string): NormalisedPath {
  const problem = problemOf(unverified)
  if (problem !== undefined) return { ok: false, problem }
  const absolute = resolve(unverified.startsWith('/') ? unverified : `${root}/${unverified}`)
  if (absolute === root) return { ok: true, path: '.' }
  const below = root === '/' ? '/' : `${root}/`
  return { ok: true, path: absolute.startsWith(below) ? absolute.slice(below.length) : absolute }
}

/**
 * The directories that hold every one of these normalised paths, from the outermost in: `.` holds all below the root,
 * and nothing holds itself. Empty when there are no paths, or some are below the root and some outside.
 */
export function directoriesAbove(paths: readonly string[]): string[] {
  const [first, ...rest] = paths.map(ancestors)
  return (first ?? []).filter((directory) => rest.every((others) => others.includes(directory)))
}

/** `drafts/a/b` is in `.`, `drafts` and `drafts/a`; `/etc/hosts` in `/` and `/etc`. */
function ancestors(path: string): string[] {
  const outermost = path.startsWith('/') ? '/' : '.'
  if (path === outermost) return []
  const inner = [...path.matchAll(/(?!^)\//g)].map(({ index }) => path.slice(0, index))
  return [outermost, ...inner]
}

/** `root` without `.`, `..`, doubled and trailing slashes; undefined when it is not a usable absolute path. */
export function absoluteRoot(root: string): string | undefined {
  return root.startsWith('/') && problemOf(root) === undefined ? resolve(root) : undefined
}

function problemOf(path: string): string | undefined {
  if (path === '') return 'is empty'
  if (CONTROL.test(path)) return 'holds a control character'
  if (path.includes('\\')) return 'holds a backslash'
  if (path.trim() !== path) return 'begins or ends with white space'
  if (QUOTED.test(path)) return 'begins or ends with a quote'
  if (path.startsWith('~')) return 'begins with `~`'
  if (path.normalize('NFC') !== path) return 'is not in Unicode normal form C'
  if (ENCODED.test(path)) return 'holds an encoded separator or dot'
  if (ADDRESS.test(path)) return 'is a URL'
  if (shapeOf(path.normalize('NFKC')) !== shapeOf(path)) return 'holds a character like `.` or `/`'
  return undefined
}

/** What of a path is more than names. */
function shapeOf(path: string): string {
  const segments = path.split('/').map((segment) => (/^\.{0,2}$/.test(segment) ? segment : 'a'))
  return `${segments.join('/')}${path.replaceAll(/[^\\]/g, '')}${path.startsWith('~')}`
}

/** `..` at the top stays at the top, as in POSIX. */
function resolve(absolute: string): string {
  const segments: string[] = []
  for (const segment of absolute.split('/')) {
    if (segment === '..') segments.pop()
    else if (segment !== '' && segment !== '.') segments.push(segment)
  }
  return `/${segments.join('/')}`
}
