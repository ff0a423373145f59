// Owns what the link of a user to an identity provider is worth. Claims make one at first use, under an id that somebody
// may have chosen for themselves; until an operator names that link, nothing more is given to the user.
import type { Row, Sql } from '../../../schemas/database/sql.ts'
import { Refused } from './refused.ts'

/** Who somebody is at an identity provider: `iss` and `sub` of their tokens. */
export type Link = { readonly issuer: string; readonly subject: string }

/** Of a row of `users`: it is not known whose name that is. `users` is how the statement calls the row. */
export const isUnvouched = (users: string): string =>
  `(${users}.issuer is not null and not ${users}.vouched)`

/** What an operator types to say who the user is; every word as a shell reads it. */
export function linkCommand(user: string, { issuer, subject }: Link): string {
  return `cedargate users add ${word(user)} --issuer ${word(issuer)} --subject ${word(subject)}`
}

/** Why nothing more is given to them now; undefined where nothing of the user is in the way. */
export async function refusalFor(sql: Sql, user: string | null): Promise<Refused | undefined> {
  const [row] = await sql.query(
    `select issuer, subject, offboarded, ${isUnvouched('users')} as unvouched from users where id = $1`,
    [user],
  )
  return row === undefined ? undefined : refusalOfRow(String(user), row)
}

function refusalOfRow(user: string, row: Row): Refused | undefined {
  if (row['unvouched'] === true) {
    const link = row as unknown as Link
    const who = `${link.subject} at ${link.issuer}`
    return new Refused(
      `the user ${user} is whoever came first with that name, ${who}, and nobody vouched for them; if they are the one you mean: ${linkCommand(user, link)}`,
    )
  }
  return row['offboarded'] === null ? undefined : offboardedRefusal(user)
}

export function offboardedRefusal(user: string): Refused {
  const back = `cedargate users reinstate ${word(user)}`
  return new Refused(`the user ${user} is offboarded; \`${back}\` takes that back`)
}

/** In quotes where a shell would read it otherwise: a subject is what a provider says. */
function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
