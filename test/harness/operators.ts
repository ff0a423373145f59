// Owns operators for tests: users with roles, signed in without an identity provider.
import type { Pdp } from '../../pdp/src/compose.ts'
import type { Store } from '../../pdp/src/store/open.ts'
import { createdSession } from '../../schemas/admin-api.ts'
import { OPERATOR_ROLES, type OperatorRole } from '../../schemas/roles.ts'
import { sleep } from './command.ts'

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

const PRINTED_WITHIN_MS = 10_000

/**
 * Uses the bootstrap token that a `cedargate pdp` prints, and gives that admin every role. Answers a session token of
 * theirs. `printed` is all that was printed so far.
 */
export async function firstAdmin(url: string, printed: () => string): Promise<string> {
  const user = 'operator'
  const made = await send(url, 'POST', 'bootstrap', { token: await bootstrapToken(printed), user })
  const { token } = createdSession.parse(await made.json())
  await send(url, 'PUT', `users/${user}/roles`, { roles: OPERATOR_ROLES }, token)
  return token
}

async function bootstrapToken(printed: () => string): Promise<string> {
  for (let waited = 0; waited < PRINTED_WITHIN_MS; waited += 50) {
    const [token, ...others] = printed().match(/\bcgb_\S+/g) ?? []
    if (others.length > 0) throw new Error('more than one bootstrap token was printed')
    if (token !== undefined) return token
    await sleep(50)
  }
  throw new Error(`no bootstrap token was printed:\n${printed()}`)
}

async function send(
  url: string,
  method: string,
  path: string,
  body: object,
  token?: string,
): Promise<Response> {
  const answer = await fetch(`${url}/admin/v1/${path}`, {
    method,
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
  })
  if (answer.ok) return answer
  throw new Error(`${method} ${path} was answered ${answer.status}: ${await answer.text()}`)
}
