// Owns who somebody of an identity provider is here: one user per issuer and subject, linked once, and the teams that
// their newest claims name. Never links anybody to a user by name alone.
import type { Row, Sql } from '../../../schemas/database/sql.ts'
import type { Clock } from '../../../schemas/ports.ts'
import type { ChangeFeed } from './change-feed.ts'
import { linkCommand } from './link.ts'
import { TokenError } from './token-error.ts'

/** Somebody as verified claims say. */
export type Person = {
  readonly issuer: string
  readonly subject: string
  /** The user id they get when they come first. */
  readonly user: string
  /** Null: these claims say nothing of teams. */
  readonly teams: readonly string[] | null
  /** When the claims were made, ms since 1970: older ones than the last change nothing. */
  readonly issuedAt: number
}

/**
 * Answers our id of them; makes the user when nobody has that id. Rejects with TokenError when somebody else has it, and
 * for who is offboarded. Writes nothing when the claims are not newer than those of before.
 */
export type SignIn = (person: Person) => Promise<string>

type SignInPorts = {
  readonly sql: Sql
  readonly clock: Clock
  readonly feed: Pick<ChangeFeed, 'note'>
}

export function openSignIn({ sql, clock, feed }: SignInPorts): SignIn {
  return async function signIn(person) {
    const { issuer, subject, teams, issuedAt } = person
    const found = (await find(person)) ?? (await make(person))
    const id = found['id'] as string
    if (found['offboarded'] !== null) throw new TokenError('unknown', `user ${id} is offboarded`)
    const claimsAt = found['claims_at'] as Date | null
    if (teams === null || (claimsAt !== null && claimsAt.getTime() >= issuedAt)) return id
    const isSame = sameList(found['claim_teams'] as string[], teams)
    // A write whose answer is lost may have been made.
    await sql
      .query(NEWER_CLAIMS, [issuer, subject, teams, new Date(issuedAt)])
      .finally(() => feed.note(isSame ? [] : [{ kind: 'user', id }]))
    return id
  }

  async function find({ issuer, subject }: Person): Promise<Row | undefined> {
    const [row] = await sql.query(FIND, [issuer, subject], 'sign-in')
    return row
  }

  async function make(person: Person): Promise<Row> {
    const { issuer, subject, user } = person
    await sql.query(MAKE, [user, new Date(clock.now()), issuer, subject])
    const made = await find(person)
    if (made !== undefined) return made
    const command = linkCommand(user, { issuer, subject })
    const message = `the user id ${user} of ${subject} at ${issuer} is somebody else's here; an admin may link them: ${command}`
    throw new TokenError('unknown', message)
  }
}

const FIND = `select id, claim_teams, claims_at, offboarded from users
  where issuer = $1 and subject = $2`

/** Two PDPs that meet them first at once make one user. Nobody vouched for the link: see link.ts. */
const MAKE = `insert into users (id, teams, created, issuer, subject) values ($1, '{}', $2, $3, $4)
  on conflict do nothing`

const NEWER_CLAIMS = `update users set claim_teams = $3, claims_at = $4
  where issuer = $1 and subject = $2 and (claims_at is null or claims_at < $4) and offboarded is null`

function sameList(before: readonly string[], now: readonly string[]): boolean {
  return before.length === now.length && before.every((team, index) => team === now[index])
}
