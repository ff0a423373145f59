// Owns who a bearer token of the PDP's own faces speaks for: an enrolled PEP, an operator who signed in, the token of `dev`.
import { hash, timingSafeEqual } from 'node:crypto'
import { isWellFormedToken } from '../../../schemas/identifiers.ts'
import { OPERATOR_ROLES } from '../../../schemas/roles.ts'
import type { Identify, Operator } from '../routes/roles.ts'
import type { Peps } from './peps.ts'
import type { Sessions } from './sessions.ts'

type IdentifyPorts = {
  /** SHA-256 (hex) of the operator token of `dev`; undefined: there is no such token. */
  readonly operatorTokenSha256: string | undefined
  readonly peps: Pick<Peps, 'resolvePep'>
  readonly sessions: Pick<Sessions, 'resolveSession'>
}

/** Whom the operator token of `dev` speaks for. */
const DEV_OPERATOR: Operator = {
  kind: 'operator',
  user: 'operator',
  roles: OPERATOR_ROLES,
  session: null,
}

/** A token whose checksum does not hold is refused without a database. */
export function createIdentify(ports: IdentifyPorts): Identify {
  const { operatorTokenSha256, peps, sessions } = ports
  const operator =
    operatorTokenSha256 === undefined ? undefined : Buffer.from(operatorTokenSha256, 'hex')
  return async function identify(bearer) {
    const digest = hash('sha256', bearer, 'buffer')
    if (operator !== undefined && timingSafeEqual(digest, operator)) return DEV_OPERATOR
    if (!isWellFormedToken('pep', bearer, sha256)) return sessions.resolveSession(bearer)
    const pep = await peps.resolvePep(digest.toString('hex'))
    return pep === undefined ? undefined : { kind: 'pep', ...pep }
  }
}

function sha256(text: string): string {
  return hash('sha256', text)
}
