// Owns which grant a token stands for, as the PDP named it once. A name is no authorisation: every message is decided by
// its token again.
import { DECIDE_TIMEOUT_MS, JWT_TOLERANCE_SECONDS } from '../../../schemas/limits.ts'
import { type IdentifyRequest, identifyResponse } from '../../../schemas/pep-api.ts'
import { GatewayError } from '../gateway-error.ts'
import { IDENTITIES_MAX } from '../limits.ts'
import type { PdpPort } from '../ports.ts'
import { type Credential, endOfJwt } from './authenticate.ts'

export type Identity = {
  /** Of the token. */
  readonly grant: string
  /** When its JWT is good for nothing any more, in milliseconds since 1970; null for a gateway token, which has no end of its own. */
  readonly expiresAt: number | null
}

export type Identities = {
  /** What is remembered of this token; undefined for one that was never asked about, and for a JWT past its end. */
  readonly known: (credential: Credential) => Identity | undefined
  /**
   * Asks the PDP; who asks meanwhile shares the answer. Throws unauthenticated with what is wrong with the token,
   * pdp_unavailable without an answer within DECIDE_TIMEOUT_MS.
   */
  readonly ask: (credential: Credential, sourceIp: string | null) => Promise<Identity>
  /** Forgets this token: the PDP does not know it, or not as this grant's. */
  readonly forget: (token: string) => void
  /** Forgets every token of this grant. */
  readonly forgetGrant: (grant: string) => void
}

/** Of IDENTITIES_MAX tokens; the one used longest ago is forgotten first. `now`: milliseconds since 1970. */
export function createIdentities(pdp: PdpPort, now: () => number): Identities {
  const byToken = new Map<string, Identity>()
  const tokensOf = new Map<string, Set<string>>()
  const asking = new Map<string, Promise<Identity>>()
  const forget = (token: string): void => {
    const grant = byToken.get(token)?.grant
    if (grant === undefined) return
    byToken.delete(token)
    const tokens = tokensOf.get(grant)
    tokens?.delete(token)
    if (tokens?.size === 0) tokensOf.delete(grant)
  }
  const remember = (token: string, identity: Identity): void => {
    forget(token)
    byToken.set(token, identity)
    tokensOf.set(identity.grant, (tokensOf.get(identity.grant) ?? new Set()).add(token))
    const [oldest] = byToken.keys()
    if (byToken.size > IDENTITIES_MAX && oldest !== undefined) forget(oldest)
  }
  const learn = async (request: IdentifyRequest): Promise<Identity> => {
    const identity = { grant: await grantOf(pdp, request), expiresAt: endOf(request.jwt) }
    remember(request.token, identity)
    return identity
  }
  return {
    forget,
    known({ token }) {
      const found = byToken.get(token)
      if (found === undefined || (found.expiresAt ?? Number.POSITIVE_INFINITY) <= now())
        return undefined
      byToken.delete(token)
      byToken.set(token, found)
      return found
    },
    ask({ token, jwt }, sourceIp) {
      const found = asking.get(token)
      if (found !== undefined) return found
      const own = learn({ token, jwt, sourceIp }).finally(() => asking.delete(token))
      asking.set(token, own)
      return own
    },
    forgetGrant(grant) {
      for (const token of tokensOf.get(grant) ?? []) forget(token)
    },
  }
}

async function grantOf(pdp: PdpPort, request: IdentifyRequest): Promise<string> {
  const answer = await askPdp(pdp, request)
  if (answer.grant !== null) return answer.grant
  throw new GatewayError('unauthenticated', `the PDP: the token is ${answer.fault}`, {
    fault: answer.fault,
  })
}

async function askPdp(pdp: PdpPort, request: IdentifyRequest) {
  try {
    const { status, body } = await pdp.post(
      '/pep/v1/identify',
      JSON.stringify(request),
      DECIDE_TIMEOUT_MS,
    )
    if (status !== 200) throw new Error(`the PDP answered ${status}`)
    return identifyResponse.parse(JSON.parse(body))
  } catch (cause) {
    throw new GatewayError('pdp_unavailable', 'the PDP did not say whose the token is', { cause })
  }
}

/** As late as the PDP takes it. */
function endOf(jwt: string | null): number | null {
  return jwt === null ? null : endOfJwt(jwt) + JWT_TOLERANCE_SECONDS * 1000
}
