// Owns one JSON value as the JSON text that Cedar reads as a scalar of its type. Pure. Never rounds, never repairs:
// what Cedar cannot hold exactly is refused.
import type { Json } from '../../../schemas/strict-json.ts'
import type { Scalar } from './argument-types.ts'
import { datetimeText, ipv4Text, ipv6Text } from './formats.ts'
import { unfitting, unrepresentable } from './refusal.ts'

const JSON_TYPES: { readonly [scalar in Scalar]: string } = {
  String: 'a string',
  datetime: 'a string',
  ipv4: 'a string',
  ipv6: 'a string',
  Long: 'an integer',
  decimal: 'a number',
  Boolean: 'a boolean',
}

const FORMATS = {
  datetime: {
    text: datetimeText,
    problem: 'is not a date and time with an offset, exact to the millisecond (RFC 3339)',
  },
  ipv4: { text: ipv4Text, problem: 'is not an IPv4 address' },
  ipv6: { text: ipv6Text, problem: 'is not an IPv6 address' },
}

/** Throws Refused: `invalid_request` when `value` is of another JSON type, else `unrepresentable_argument`. */
export function scalarText(scalar: Scalar, value: Json, at: string): string {
  switch (scalar) {
    case 'String':
      if (typeof value === 'string') return stringText(value, at)
      break
    case 'Boolean':
      if (typeof value === 'boolean') return String(value)
      break
    case 'decimal':
      if (typeof value === 'number') return decimalText(value, at)
      break
    case 'Long':
      if (typeof value === 'number' && Number.isInteger(value)) return longText(value, at)
      break
    default:
      if (typeof value === 'string') return formatText(scalar, value, at)
  }
  throw unfitting(at, `must be ${JSON_TYPES[scalar]}`)
}

/** Any text that is well-formed. */
export function stringText(value: string, at: string): string {
  if (value.isWellFormed()) return JSON.stringify(value)
  throw unrepresentable(at, 'holds a lone surrogate')
}

function formatText(format: keyof typeof FORMATS, value: string, at: string): string {
  const { text, problem } = FORMATS[format]
  const found = text(value)
  if (found === undefined) throw unrepresentable(at, problem)
  return JSON.stringify(found)
}

function longText(value: number, at: string): string {
  if (Number.isSafeInteger(value)) return String(value)
  throw unrepresentable(at, 'is not a safe integer')
}

/** Cedar's decimal: an i64 of ten-thousandths. `String` of a number is its exact shortest form. */
function decimalText(value: number, at: string): string {
  const match = /^(-?)(\d+)(?:\.(\d{1,4}))?$/.exec(String(value))
  const [text, sign = '', whole = '', fraction = ''] = match ?? []
  const units = BigInt(`${whole}${fraction.padEnd(4, '0')}`)
  if (text === undefined || units > 2n ** 63n - 1n) {
    throw unrepresentable(at, 'is not exact with four digits after the point')
  }
  return `"${sign}${whole}.${fraction === '' ? '0' : fraction}"`
}
