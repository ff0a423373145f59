// Owns believing what the PDP answered: by hand, since this runs for every call and a schema
// library costs more than the rest of the check. Anything that is not exactly a verdict on our own
// question is a throw, never an allow.
import { VERDICT_CODES } from '../../schemas/codes.ts'
import type { DecideCall, Rejection, Verdict } from '../../schemas/pep-api.ts'
import { isReleased } from './credential.ts'
import { GatewayError } from './gateway-error.ts'

/** What a verdict must name to be ours. `messageDigest` is the SHA-256 of the text we sent, `grant` whose call we took it for. */
export type Question = Pick<DecideCall, 'requestId' | 'server'> & {
  readonly messageDigest: string
  readonly grant: string | null
}

const CODES: ReadonlySet<unknown> = new Set(VERDICT_CODES)
const REASONS: ReadonlySet<unknown> = new Set([
  'unauthenticated',
  'server_not_granted',
  'unknown_server',
])
const HASH = /^[0-9a-f]{64}$/

/**
 * The verdict or rejection in `value`. Throws pdp_unavailable when it is neither, verdict_mismatch
 * when it is on another question. Checks the type of every field that the PEP reads and that an
 * allow has the code `permit`; does NOT check the PDP's signature (fsck and the verifier do) nor
 * fields it does not know.
 */
export function readVerdict(value: unknown, question: Question): Verdict | Rejection {
  if (!isRecord(value)) throw nonsense('it is no object')
  if (value['requestId'] !== question.requestId) throw mismatch('another request')
  if (value['kind'] === 'rejection') {
    if (!REASONS.has(value['reason'])) throw nonsense('a rejection without a known reason')
    return value as Rejection
  }
  if (value['kind'] !== 'verdict') throw nonsense('it is neither verdict nor rejection')
  checkShape(value)
  if (value['server'] !== question.server) throw mismatch('another server')
  if (value['messageDigest'] !== question.messageDigest) throw mismatch('another message')
  if (value['grant'] !== question.grant) throw mismatch('the call of another grant')
  return value as Verdict
}

function checkShape(value: Record<string, unknown>): void {
  const { decision, code, decisionId, policies, text, visible, record, credential } = value
  if (decision !== 'allow' && decision !== 'deny') throw nonsense('no decision')
  if (!CODES.has(code)) throw nonsense('no known code')
  if ((decision === 'allow') !== (code === 'permit'))
    throw nonsense('its decision and code disagree')
  if (typeof decisionId !== 'string' || typeof text !== 'string') throw nonsense('no id or text')
  if (!isStrings(policies)) throw nonsense('no policy ids')
  if (visible !== null && !isVisible(visible)) throw nonsense('`visible` is malformed')
  if (!isSignedRecord(record)) throw nonsense('no record to write')
  if (credential === undefined) return
  if (decision === 'deny') throw nonsense('a deny with a credential')
  if (!isReleased(credential)) throw nonsense('`credential` is malformed')
}

function isVisible(value: unknown): boolean {
  return (
    isRecord(value) &&
    isStrings(value['tools']) &&
    typeof value['resources'] === 'boolean' &&
    typeof value['prompts'] === 'boolean'
  )
}

function isSignedRecord(value: unknown): boolean {
  if (!isRecord(value)) return false
  const { leaf, hash, sig, person, detail } = value
  if (typeof leaf !== 'string' || typeof hash !== 'string' || !HASH.test(hash)) return false
  if (typeof sig !== 'string' || (person !== null && typeof person !== 'string')) return false
  return (
    detail === null ||
    (isRecord(detail) && typeof detail['key'] === 'string' && typeof detail['ct'] === 'string')
  )
}

function isStrings(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function nonsense(what: string): GatewayError {
  return new GatewayError('pdp_unavailable', `the PDP's answer is no verdict: ${what}`)
}

function mismatch(what: string): GatewayError {
  return new GatewayError('verdict_mismatch', `the PDP's verdict is on ${what}`)
}
