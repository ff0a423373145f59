// Owns masking a credential in one message of a server, before anybody reads it. Pure. Never lets one pass that it cannot
// mask.
import { GatewayError } from '../gateway-error.ts'
import { endOfString } from '../passage/server-message.ts'
import type { Masker } from './masker.ts'
import { spelledPlainly } from './spelled-plainly.ts'

/**
 * The very same text where it shows no secret; else with MASK in its strings and keys, all else as it was. Throws
 * upstream_invalid where the secret is still there, such as in a number. What is no JSON is masked as it stands.
 */
export function maskMessage(masker: Masker, text: string): string {
  if (!isShown(masker, text)) return text
  const masked = isJson(text) ? maskStrings(masker, text) : masker.mask(text)
  if (!isShown(masker, masked)) return masked
  const message = 'the answer of the server holds its credential where it cannot be masked'
  throw new GatewayError('upstream_invalid', message)
}

/** Whether a JSON text says a secret, however it is spelled; or any text, as it stands. */
export function isShown(masker: Masker, text: string): boolean {
  return masker.isInJson(/\\[u/]/.test(text) ? spelledPlainly(text) : text)
}

function maskStrings(masker: Masker, json: string): string {
  const parts: string[] = []
  let from = 0
  for (let at = json.indexOf('"'); at >= 0; at = json.indexOf('"', from)) {
    const end = endOfString(json, at)
    const text = JSON.parse(json.slice(at, end)) as string
    const masked = masker.mask(text)
    parts.push(json.slice(from, at), masked === text ? json.slice(at, end) : JSON.stringify(masked))
    from = end
  }
  return [...parts, json.slice(from)].join('')
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false // A line of noise, or an answer that is no message.
  }
}
