// Owns reading JSON that somebody else wrote, so that every reader after us sees exactly what was decided on:
// no duplicate keys, no lone surrogates, no number that a round trip changes, bounded depth, no Cedar escape keys.
// Never repairs: it answers the value, or the one reason why not.
import { JSON_DEPTH_MAX, JSON_TOKENS_MAX } from './limits.ts'

export type StrictJsonFault =
  | 'malformed_json'
  | 'malformed_text'
  | 'duplicate_key'
  | 'number_not_exact'
  | 'too_deep'
  | 'too_many_values'
  | 'reserved_key'

export type Json = null | boolean | number | string | Json[] | JsonObject
export type JsonObject = { [key: string]: Json }
export type StrictJson =
  | { readonly ok: true; readonly value: Json }
  | {
      readonly ok: false
      readonly fault: StrictJsonFault
      readonly at: number
      readonly message: string
    }

/** Keys that Cedar's JSON reads as escapes, not as data (facts: `__extn` can make a forbid vanish). */
const RESERVED_KEYS: ReadonlySet<string> = new Set(['__entity', '__extn', '__expr'])

const NO_KEYS: ReadonlySet<string> = new Set()

/** One token of JSON that `JSON.parse` has already accepted, white space skipped. */
const TOKEN = /[\s,:]*(?:("(?:[^"\\]|\\.)*")|([{[])|([}\]])|(-?[0-9][0-9.eE+-]*)|[a-z]+)/y

/** `reservedKeys`: for what is never handed to Cedar as data, such as a JSON Schema. Default `refuse`. */
export type StrictJsonOptions = { readonly reservedKeys?: 'refuse' | 'accept' }

/**
 * Parses `text` (already decoded from well-formed UTF-8) strictly. Depth counts arrays and objects: `[[]]` is 2;
 * the limit is JSON_DEPTH_MAX. Keys and values together are at most JSON_TOKENS_MAX. `at` is a UTF-16 offset. Does NOT bound the length of `text`.
 */
export function parseStrictJson(text: string, options: StrictJsonOptions = {}): StrictJson {
  if (!text.isWellFormed()) return fault('malformed_text', 0, 'the text holds a lone surrogate')
  let value: Json
  try {
    value = JSON.parse(text) as Json
  } catch {
    return fault('malformed_json', 0, 'the text is not JSON')
  }
  const reserved = options.reservedKeys === 'accept' ? NO_KEYS : RESERVED_KEYS
  return scan(text, reserved) ?? { ok: true, value }
}

type Frame = { readonly keys: Set<string> | undefined; readonly reserved: ReadonlySet<string> }
type Fault = Extract<StrictJson, { ok: false }>

function scan(text: string, reserved: ReadonlySet<string>): Fault | undefined {
  const frames: Frame[] = []
  let tokens = 0
  TOKEN.lastIndex = 0
  for (let match = TOKEN.exec(text); match !== null; match = TOKEN.exec(text)) {
    const [, string, open, close, number] = match
    const at = TOKEN.lastIndex
    const found =
      string !== undefined
        ? checkString(text, string, at, frames.at(-1))
        : number !== undefined
          ? checkNumber(number, at)
          : undefined
    if (found !== undefined) return found
    if (open !== undefined) {
      if (frames.length === JSON_DEPTH_MAX) {
        return fault('too_deep', at, `nested deeper than ${JSON_DEPTH_MAX} levels`)
      }
      frames.push({ keys: open === '{' ? new Set() : undefined, reserved })
    }
    if (close !== undefined) frames.pop()
    else if (++tokens > JSON_TOKENS_MAX) {
      return fault('too_many_values', at, `more than ${JSON_TOKENS_MAX} keys and values`)
    }
  }
  return undefined
}

/** A string followed by `:` inside an object is a key; in valid JSON nothing else is. */
function checkString(
  text: string,
  token: string,
  end: number,
  frame: Frame | undefined,
): Fault | undefined {
  const value = token.includes('\\') ? (JSON.parse(token) as string) : token.slice(1, -1)
  if (!value.isWellFormed()) return fault('malformed_text', end, 'a string holds a lone surrogate')
  if (frame?.keys === undefined || !isKey(text, end)) return undefined
  if (frame.keys.has(value))
    return fault('duplicate_key', end, 'an object names the same key twice')
  if (frame.reserved.has(value)) return fault('reserved_key', end, `the key ${value} is reserved`)
  frame.keys.add(value)
  return undefined
}

function isKey(text: string, end: number): boolean {
  let index = end
  while (
    text[index] === ' ' ||
    text[index] === '\n' ||
    text[index] === '\r' ||
    text[index] === '\t'
  )
    index++
  return text[index] === ':'
}

function checkNumber(literal: string, at: number): Fault | undefined {
  if (/^-?\d{1,15}$/.test(literal)) return undefined
  const value = Number(literal)
  if (Number.isFinite(value) && sameDecimal(literal, String(value))) return undefined
  return fault('number_not_exact', at, 'a number would not survive being read and written again')
}

/** Whether two decimal literals name the same number: `1.0` and `1`, `1e3` and `1000`. */
function sameDecimal(left: string, right: string): boolean {
  const [a, b] = [decimal(left), decimal(right)]
  return (
    a.digits === b.digits &&
    a.exponent === b.exponent &&
    (a.negative === b.negative || a.digits === '')
  )
}

/** digits × 10^exponent, digits without a leading or trailing zero; '' is zero. */
function decimal(literal: string): { digits: string; exponent: number; negative: boolean } {
  const [mantissa = '', exponentText = '0'] = literal.replace(/^[-+]/, '').toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.split('.')
  const all = `${whole}${fraction}`.replace(/^0+/, '')
  const digits = all.slice(0, significantLength(all))
  const exponent =
    digits === '' ? 0 : Number(exponentText) - fraction.length + (all.length - digits.length)
  return { digits, exponent, negative: literal.startsWith('-') }
}

/** Length without trailing zeros. A loop: `/0+$/` takes quadratic time on a long run of zeros that ends elsewhere. */
function significantLength(digits: string): number {
  let length = digits.length
  while (digits[length - 1] === '0') length--
  return length
}

function fault(code: StrictJsonFault, at: number, message: string): Fault {
  return { ok: false, fault: code, at, message }
}
