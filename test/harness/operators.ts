// Owns operators for tests: users with roles in the database, signed in without an identity provider.
import type { Pdp } from '../../pdp/src/compose.ts'
import type { Store } from '../../pdp/src/store/open.ts'
import type { OperatorRole } from '../../schemas/roles.ts'

type Signing = Pick<Pdp, 'sessions'> & { readonly store: Store }

/** Makes the user with these roles, and answers the headers of a session of theirs. */
export async function signInAs(
  { sessions, store }: Signing,
  user: string,
  roles: readonly OperatorRole[],
): Promise<Record<string, string>> {
  await store.sql.query(
    `insert into users (id, teams, created, roles) values ($1, '{}', now(), $2)
     on conflict (id) do update set roles = excluded.roles`,
    [user, roles],
  )
  const session = await sessions.createSession({ user, roles: [], source: null })
  if (session === undefined) throw new Error(`${user} gets no session`)
  return { authorization: `Bearer ${session.token}` }
}
