// Owns judging tokens of the provider of idp.ts with a verifier alone: the settings it is judged by, a clock that the
// test moves, and the claims of a token that is good.
import { type Dialer, openDialer } from '../../pdp/src/egress/dialer.ts'
import { TokenError } from '../../pdp/src/identity/token-error.ts'
import { createTokenVerifier, type TokenVerifier } from '../../pdp/src/identity/verify-jwt.ts'
import { gatewayFile, type Identity } from '../../schemas/bundle.ts'
import { AUDIENCE, CLIENTS, type Idp } from './idp.ts'

export type Judge = {
  /** How far the clock of the verifier is ahead. */
  shiftMs: number
  identity: Identity
  verifier: TokenVerifier
  /** A new verifier, which knows nothing, and the usual settings; the provider is well. */
  readonly reset: () => void
  readonly seconds: () => number
  readonly settings: (changes?: object, issuers?: readonly object[]) => Identity
  /** The claims of a good access token; `undefined` takes one out. */
  readonly claims: (changes?: Readonly<Record<string, unknown>>) => Record<string, unknown>
  /** `good`, or why not. Throws when the error tells any part of the token. */
  readonly faultOf: (text: string, of?: Identity) => Promise<string>
}

/** `dial`: how the verifier reaches providers. */
export function judgeOf(idp: Idp, dial: Dialer = openDialer()): Judge {
  const now = (): number => Date.now() + judge.shiftMs
  const clock = { now, monotonic: () => performance.now() + judge.shiftMs }
  const judge: Judge = {
    shiftMs: 0,
    identity: settingsOf(idp),
    verifier: createTokenVerifier({ dial, clock }),
    reset() {
      judge.shiftMs = 0
      judge.identity = settingsOf(idp)
      judge.verifier = createTokenVerifier({ dial, clock })
      idp.fault = undefined
      idp.asked.length = 0
    },
    seconds: () => Math.floor(now() / 1000),
    settings: (changes, issuers) => settingsOf(idp, changes, issuers),
    claims(changes = {}) {
      const iat = judge.seconds()
      const whose = { iss: idp.issuer, sub: 'alice', aud: AUDIENCE, client_id: CLIENTS.agent }
      const made = Object.entries({ ...whose, iat, exp: iat + 300, ...changes })
      return Object.fromEntries(made.filter(([, value]) => value !== undefined))
    },
    faultOf: (text, of = judge.identity) =>
      faultIn(judge.verifier.verifyAccessToken(text, of), text),
  }
  return judge
}

/** Why a token was refused; throws when the error tells any part of it. */
export async function faultIn(verified: Promise<unknown>, text: string): Promise<string> {
  try {
    await verified
    return 'good'
  } catch (error) {
    if (!(error instanceof TokenError)) throw error
    const told = `${error.message} ${String(error.cause)}`
    const parts = text.split('.').filter((part) => part.length > 8)
    if (parts.some((part) => told.includes(part)))
      throw new Error('the token is told', { cause: error })
    return error.fault
  }
}

function settingsOf(
  { issuer }: Idp,
  changes: object = {},
  issuers: readonly object[] = [],
): Identity {
  const clients = { [CLIENTS.agent]: { agent: 'demo', servers: ['echo'] } }
  const one = { issuer, audience: AUDIENCE, teams: { Staff: 'staff' }, clients, ...changes }
  return gatewayFile.parse({ name: 'Test', identity: { issuers: [one, ...issuers] } }).identity
}
