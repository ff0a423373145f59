// Owns who may sign in as an operator: what an ID token says, the user that is, and the roles they have. Makes no session.
import { hash } from 'node:crypto'
import type { Sql } from '../../../schemas/database/sql.ts'
import { OPERATOR_ROLES, type OperatorRole } from '../../../schemas/roles.ts'
import { linkCommand } from './link.ts'
import { type LoginFile, rolesOfClaims } from './login-file.ts'
import type { UsedIdToken } from './sessions.ts'
import type { SignIn } from './sign-in.ts'
import { TokenError } from './token-error.ts'

/** Whom a verified ID token is about. */
export type SignedIn = {
  readonly issuer: string
  readonly subject: string
  readonly claims: Readonly<Record<string, unknown>>
  readonly issuedAt: number
}

/** An operator who may have a session. */
export type Person = {
  readonly user: string
  /** Of their groups. */
  readonly roles: readonly OperatorRole[]
  /** Of the database, as it stands now. */
  readonly given: readonly OperatorRole[]
  readonly idToken: UsedIdToken
}

/** `why` is for the person who signs in. */
export type Refused = { readonly why: string; readonly known: boolean }

export type LoginPorts = {
  readonly sql: Sql
  readonly file: LoginFile
  /** Rejects for an ID token that is not one of this issuer for our client, fresh and signed. */
  readonly verify: (idToken: string) => Promise<SignedIn>
  /** Whether a role is needed; else whoever is linked here comes in, too. */
  readonly needsRole: boolean
  /** The user's id there, from the claims. Throws TokenError when they name none. */
  readonly userOf: (signedIn: SignedIn) => string
  /** Rejects with TokenError when that user id is somebody else's here. */
  readonly signIn: SignIn
  /** Why an ID token was refused, for the log. */
  readonly onRefused: (error: unknown) => void
}

export type Login = (idToken: string) => Promise<Person | Refused>

/** Who may not come in is told so, and leaves no trace: no user is made for them. */
export function createLogin(ports: LoginPorts): Login {
  const { sql, file, verify, needsRole, userOf, signIn, onRefused } = ports
  return async function login(idToken) {
    let signedIn: SignedIn
    try {
      signedIn = await verify(idToken)
    } catch (error) {
      onRefused(error)
      return { known: false, why: 'this ID token is not accepted; sign in again' }
    }
    const { issuer, subject, claims, issuedAt } = signedIn
    let wanted: string
    try {
      wanted = userOf(signedIn)
    } catch (error) {
      if (!(error instanceof TokenError)) throw error
      onRefused(error)
      return { known: true, why: noUserId(error.message, file) }
    }
    const linkable = `an admin can link them: ${linkCommand(wanted, signedIn)}`
    const roles = rolesOfClaims(file, claims)
    const linked = await findLinked(sql, issuer, subject)
    if (linked?.offboarded === true) {
      return { known: true, why: `${linked.id} is offboarded` }
    }
    const given = linked?.roles ?? []
    if (!needsRole && linked === undefined && roles.length === 0)
      return {
        known: true,
        why: `nobody here is linked to you (${subject} at ${issuer}); ${linkable}`,
      }
    if (needsRole && roles.length === 0 && given.length === 0) {
      const claimed = `the claim \`${file.rolesClaim}\``
      const why = `${linked?.id ?? wanted} has no role here: neither by ${claimed} nor by an admin`
      // The first admin, whom the bootstrap token made, is told so how to come in as that.
      const ifTheyAre = `; if they are a user who has one, ${linkable}`
      return { known: true, why: linked === undefined ? `${why}${ifTheyAre}` : why }
    }
    try {
      const user = await signIn({ issuer, subject, user: wanted, teams: null, issuedAt })
      return { user, roles, given, idToken: { issuer, subject, sha256: digestOf(idToken) } }
    } catch (error) {
      if (!(error instanceof TokenError)) throw error
      onRefused(error)
      return { known: true, why: `there is another user ${wanted}; ${linkable}` }
    }
  }
}

function noUserId(reason: string, { userClaim }: LoginFile): string {
  return `you are signed in at the identity provider, but ${reason}: the user id is the claim \`${userClaim}\` of the ID token, as \`userClaim\` of the login file of this PDP says`
}

type Linked = {
  readonly id: string
  readonly roles: readonly OperatorRole[]
  readonly offboarded: boolean
}

async function findLinked(sql: Sql, issuer: string, subject: string): Promise<Linked | undefined> {
  const [row] = await sql.query(
    `select id, roles, offboarded is not null as offboarded from users
     where issuer = $1 and subject = $2`,
    [issuer, subject],
  )
  if (row === undefined) return undefined
  const given = row['roles'] as string[]
  return {
    id: row['id'] as string,
    roles: OPERATOR_ROLES.filter((role) => given.includes(role)),
    offboarded: row['offboarded'] === true,
  }
}

/** A signature can be written in two ways, what it signs in one. */
function digestOf(idToken: string): string {
  return hash('sha256', idToken.slice(0, idToken.lastIndexOf('.')))
}
