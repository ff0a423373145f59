// Owns what the claims of an access token mean here: whose it is, in which teams, for which client, within which scopes.
// Pure: signature, issuer, audience and times are judged before (verify-jwt.ts).
import type { JWTPayload } from 'jose'
import type { Identity, IdentityClient, IdentityIssuer } from '../../../schemas/bundle.ts'
import { claimName, subjectId } from '../../../schemas/identifiers.ts'
import type { Scope } from '../../../schemas/scopes.ts'
import { TokenError } from './token-error.ts'
import type { VerifiedToken } from './verified.ts'

/** The last moment of the year 9999: what comes later, dates have no spelling for. */
const LAST_MS = 253_402_300_799_000

/** Throws TokenError when the claims do not say all of it, or the client is none that `issuer` lists. */
export function readClaims(claims: JWTPayload, issuer: IdentityIssuer): VerifiedToken {
  const subject = nameIn(claims, 'sub')
  const client = clientOf(claims)
  const settings = settingsFor(issuer, client)
  const { headless } = settings
  if (!headless && subject === client) {
    const message = `client ${client} comes for nobody, and is not \`headless\` in gateway.yaml`
    throw new TokenError('client_not_allowed', message)
  }
  return {
    issuer: issuer.issuer,
    subject,
    client,
    settings,
    user: headless ? null : userOf(claims, issuer, subject),
    teams: headless ? [] : teamsOf(claims, issuer),
    scopes: settings.scopes.filter(isIn(claims)).toSorted(),
    issuedAt: msOf(claims.iat),
    notBefore: msOf(Math.max(claims.nbf ?? 0, claims.iat ?? 0)),
    expiresAt: msOf(claims.exp),
  }
}

/** A NumericDate in milliseconds, as a moment that has a spelling. */
export function msOf(seconds = 0): number {
  return Math.min(Math.max(Math.floor(seconds * 1000), 0), LAST_MS)
}

/** What gateway.yaml says of that client now; undefined when nothing. */
export function clientIn(
  { issuers }: Identity,
  { issuer, client }: { readonly issuer: string; readonly client: string },
): IdentityClient | undefined {
  const found = issuers.find((one) => one.issuer === issuer)
  return found !== undefined && Object.hasOwn(found.clients, client)
    ? found.clients[client]
    : undefined
}

/** Teams that the claims name, sorted. A token that does not have the claim says that there are none. */
export function teamsOf(
  claims: JWTPayload,
  issuer: Pick<IdentityIssuer, 'teamsClaim' | 'teams'>,
): string[] {
  const { teamsClaim, teams } = issuer
  const named = Object.hasOwn(claims, teamsClaim) ? [claims[teamsClaim]].flat() : []
  const found = named.flatMap((value) =>
    typeof value === 'string' && Object.hasOwn(teams, value) ? (teams[value] ?? []) : [],
  )
  return [...new Set(found)].toSorted()
}

/** The user id that the claims name. An `email` that nobody verified is anybody's. */
export function userOf(
  claims: JWTPayload,
  { userClaim }: Pick<IdentityIssuer, 'userClaim'>,
  subject: string,
): string {
  if (userClaim === 'email' && claims['email_verified'] !== true)
    throw new TokenError('unknown', `the e-mail address of ${subject} is not verified`)
  const read = subjectId.safeParse(Object.hasOwn(claims, userClaim) ? claims[userClaim] : undefined)
  if (read.success) return read.data
  const why = read.error.issues[0]?.message
  throw new TokenError('unknown', `the claim ${userClaim} of ${subject} is no user id: ${why}`)
}

/** `azp`, else `client_id` (RFC 9068 §2.2). One that says both, and not the same, says neither. */
function clientOf(claims: JWTPayload): string {
  const [azp, id] = [claims['azp'], claims['client_id']]
  if (azp !== undefined && id !== undefined && azp !== id)
    throw new TokenError('client_not_allowed', 'its azp and its client_id are two clients')
  return nameIn(claims, azp === undefined ? 'client_id' : 'azp')
}

function settingsFor(issuer: IdentityIssuer, client: string): IdentityClient {
  const settings = clientIn({ issuers: [issuer] }, { issuer: issuer.issuer, client })
  if (settings !== undefined) return settings
  throw new TokenError('client_not_allowed', `gateway.yaml does not list the client ${client}`)
}

/** Whether the token has that scope: one that names any of `mcp:` has those alone, another one all. */
function isIn(claims: JWTPayload): (scope: Scope) => boolean {
  const { scope, scp } = claims as { scope?: unknown; scp?: unknown }
  const said = [scope, scp].flat().flatMap((one) => (typeof one === 'string' ? one.split(' ') : []))
  const ours = new Set(said.filter((one) => one.startsWith('mcp:')))
  return (one) => ours.size === 0 || ours.has(one)
}

/** Throws TokenError when the claim is no name. */
export function nameIn(claims: JWTPayload, name: string): string {
  const read = claimName.safeParse(claims[name])
  if (read.success) return read.data
  throw new TokenError('unknown', `its claim ${name} is missing, or no name`)
}
