// Owns the tokens of a `dev` gateway: made once, kept in its home, made anew when the database no longer knows them.
import { hash } from 'node:crypto'
import type { Pdp } from '../../../pdp/src/compose.ts'
import { GRANT_LIFETIME_DEFAULT } from '../../../schemas/limits.ts'
import { parseDuration } from '../duration.ts'
import type { Demo, Person } from './demo.ts'
import type { Tokens } from './home.ts'

/** Enrolment id of the PEP inside `dev`. */
const DEV_PEP = 'dev'

type Ports = Pick<Pdp, 'admin' | 'peps' | 'resolveGrants'>

type Wanted = {
  readonly operator: string
  readonly known: Tokens | undefined
  readonly people: Demo['users']
  readonly servers: readonly string[]
}

/** Tokens that work now: the known ones where the database still honours them, new ones elsewhere. */
export async function ensureTokens(pdp: Ports, wanted: Wanted): Promise<Tokens> {
  const { operator, known, people, servers } = wanted
  return {
    operator,
    pep: await ensurePep(pdp, known?.pep, servers),
    users: await ensureUsers(pdp, known?.users ?? {}, people),
  }
}

async function ensurePep(
  { peps }: Ports,
  known: string | undefined,
  servers: readonly string[],
): Promise<string> {
  const enrolled = known === undefined ? undefined : await peps.resolvePep(hash('sha256', known))
  if (known !== undefined && enrolled !== undefined && sameSet(enrolled.servers, servers))
    return known
  return (await peps.enrollPep(servers, DEV_PEP)).key
}

async function ensureUsers(
  { admin, resolveGrants }: Ports,
  known: Readonly<Record<string, string>>,
  people: Demo['users'],
): Promise<Record<string, string>> {
  const digestOf = (user: string): string => hash('sha256', known[user] ?? '')
  const names = Object.keys(people)
  const grants = names.length === 0 ? new Map() : await resolveGrants(names.map(digestOf))
  const tokens: Record<string, string> = {}
  for (const [user, person] of Object.entries(people)) {
    const kept = grants.get(digestOf(user))
    const current =
      kept !== undefined && kept.user === user && sameSet(kept.servers, person.servers)
    tokens[user] = current ? (known[user] ?? '') : await grant(admin, user, person)
  }
  return tokens
}

async function grant(admin: Ports['admin'], user: string, person: Person): Promise<string> {
  const { agent, servers, teams } = person
  const expiresInMs = parseDuration(GRANT_LIFETIME_DEFAULT)
  return (await admin.createGrant({ user, agent, servers, teams, expiresInMs })).token
}

function sameSet(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((item) => right.includes(item))
}
