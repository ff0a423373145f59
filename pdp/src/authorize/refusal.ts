// Owns leaving the mapping of arguments with a reason, and how a place in the arguments is written. Pure.
// Never puts a value into a message.
import type { VerdictCode } from '../../../schemas/codes.ts'

/** Characters of an argument's path in a message. */
const SHOWN_MAX = 96

export type MapCode = Extract<
  VerdictCode,
  'unknown_argument' | 'unrepresentable_argument' | 'invalid_request'
>

/** Thrown while arguments are mapped, to leave a deep walk; mapArguments turns it into a value. */
export class Refused extends Error {
  readonly code: MapCode
  constructor(code: MapCode, detail: string) {
    super(detail)
    this.code = code
  }
}

/** `argument \`/a\` <problem>`, refused as something that Cedar cannot hold. */
export function unrepresentable(at: string, problem: string): Refused {
  return new Refused('unrepresentable_argument', `argument ${shown(at)} ${problem}`)
}

/** `argument \`/a\` <problem>`, refused as something that is not of its declared type. */
export function unfitting(at: string, problem: string): Refused {
  return new Refused('invalid_request', `argument ${shown(at)} ${problem}`)
}

/** The JSON pointer of member `name` of what is at `at`. RFC 6901 §3. */
export function pointerTo(at: string, name: string): string {
  return `${at}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
}

/** A pointer for people: names come from the caller, so they are cut and kept on one line. */
export function shown(pointer: string): string {
  const text = JSON.stringify(pointer).slice(1, -1)
  return `\`${text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text}\``
}
