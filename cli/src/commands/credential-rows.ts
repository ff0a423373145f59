// Owns what the commands of credentials share: where one is asked for, how one is found, and how a row reads. A row never
// holds a secret.
import { z } from 'zod'
import { type CredentialRow, credentialsPage } from '../../../schemas/credentials-api.ts'
import { ROWS_PAGE_MAX } from '../../../schemas/limits.ts'
import type { AdminClient } from '../admin-client.ts'
import { CommandError } from '../errors.ts'
import { type Format, printable, type Terminal } from '../output.ts'
import { queryOf } from '../query.ts'

export const CREDENTIALS = '/admin/v1/credentials'

/** Throws CommandError for what is no id: it is not sent, and not repeated, for it may be a secret. */
export function pathOf(id: string): string {
  if (z.uuid().safeParse(id).success) return `${CREDENTIALS}/${id}`
  throw new CommandError('this is not the id of a credential', {
    hint: '`cedargate credentials ls` shows the ids',
  })
}

export type Listed = { server?: string; user?: string; limit: number; after?: string }

/** One page. */
export async function credentialsOf(admin: AdminClient, query: Listed): Promise<CredentialRow[]> {
  return (await admin.get(`${CREDENTIALS}?${queryOf(query)}`, credentialsPage)).credentials
}

/** Looks through all pages. Throws CommandError where it is in none. */
export async function credentialOf(admin: AdminClient, id: string): Promise<CredentialRow> {
  const query: Listed = { limit: ROWS_PAGE_MAX }
  for (;;) {
    const rows = await credentialsOf(admin, query)
    const found = rows.find((row) => row.id === id)
    if (found !== undefined) return found
    const last = rows.at(-1)
    if (rows.length < query.limit || last === undefined)
      throw new CommandError('no such credential', {
        hint: '`cedargate credentials ls` shows what there is',
      })
    query.after = last.id
  }
}

/** Whose it is, for people. */
export function ownerText(user: string | null): string {
  return user === null ? 'the deployment' : `user ${user}`
}

/** The row, and what is still to be done for it. */
export function printCredential(io: Terminal, format: Format, row: CredentialRow): void {
  if (format === 'json') return io.out(JSON.stringify(row, null, 2))
  const { id, version, server, user, kind, names, state } = row
  const what = [kind, names.join(', ')].filter(Boolean).join(' ')
  io.out(
    printable(
      `credential ${id} version ${version} for server ${server}: ${what} of ${ownerText(user)}`,
    ),
  )
  const next = NEXT[state]
  if (next !== undefined) io.err(printable(next(row)))
}

const NEXT: Readonly<Record<CredentialRow['state'], ((row: CredentialRow) => string) | undefined>> = {
  ok: undefined,
  undeclared: ({ server }) => `not used: servers/${server}/server.yaml asks for another credential, or none`,
  reconnect: ({ kind, server, user }) => kind === 'oauth' ? `ended: run \`cedargate credentials connect --server ${server}${user === null ? '' : ` --user ${user}`}\`` : 'ended: set it anew',
  refused: () => 'the server refused it: set another one',
  locked: ({ key }) => `no key of the PDP opens it: give key ${key} back (\`cedargate keys ls\`), or remove it and set it anew`,
} // biome-ignore format: one state a line
