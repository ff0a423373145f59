// Owns masking a credential in one message of a server, before anybody reads it. Pure. Never lets one pass that it cannot
// mask.
import { GatewayError } from '../gateway-error.ts'
import { ECHOES_MAX } from '../limits.ts'
import type { Range } from './finder.ts'
import type { Masker } from './masker.ts'

/**
 * The very same text where it shows no secret; else with MASK in its strings and keys, all else as it was. Throws
 * upstream_invalid where the secret is still there, such as in a number, or more than ECHOES_MAX times. What is no JSON is
 * masked as it stands.
 */
export function maskMessage(masker: Masker, text: string): string {
  const bytes = Buffer.from(text)
  const ranges = masker.rangesIn(bytes)
  if (ranges.length === 0) return text
  if (ranges.length > ECHOES_MAX) throw unmaskable('too often')
  const masked = maskStrings(masker, bytes, ranges)
  if (!masker.isIn(masked)) return masked
  const asItStands = isJson(text) ? masked : masker.mask(text)
  if (!masker.isIn(asItStands)) return asItStands
  throw unmaskable('where it cannot be masked')
}

function unmaskable(how: string): GatewayError {
  return new GatewayError(
    'upstream_invalid',
    `the answer of the server holds its credential ${how}`,
  )
}

const [QUOTE, BACKSLASH] = [0x22, 0x5c]

/** Those strings of the JSON that `ranges` touch. */
function maskStrings(masker: Masker, json: Buffer, ranges: readonly Range[]): string {
  const parts: Buffer[] = []
  let [from, next] = [0, 0]
  for (let at = 0; at < json.length && next < ranges.length; at += 1) {
    if (json[at] !== QUOTE) continue
    const end = endOfString(json, at)
    while ((ranges[next]?.start ?? json.length) < at) next += 1
    if ((ranges[next]?.start ?? json.length) < end) {
      parts.push(json.subarray(from, at), maskString(masker, json.subarray(at, end)))
      from = end
    }
    at = end - 1
  }
  return Buffer.concat([...parts, json.subarray(from)]).toString()
}

/** After its closing quote; the end of what is no JSON. */
function endOfString(json: Buffer, start: number): number {
  for (let at = start + 1; at < json.length; at += 1) {
    if (json[at] === QUOTE) return at + 1
    if (json[at] === BACKSLASH) at += 1
  }
  return json.length
}

function maskString(masker: Masker, spelled: Buffer): Buffer {
  try {
    return Buffer.from(JSON.stringify(masker.mask(JSON.parse(spelled.toString()) as string)))
  } catch {
    return spelled // What is no JSON is masked as it stands.
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false // A line of noise, or an answer that is no message.
  }
}
