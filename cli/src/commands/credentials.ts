// Owns `cedargate credentials`: the secrets that servers want, which go in here and never come out.
import type { Command } from 'commander'
import { EXIT } from '../../../schemas/codes.ts'
import {
  type CredentialRow,
  removedCredential,
  testedCredential,
} from '../../../schemas/credentials-api.ts'
import { ROWS_PAGE_MAX } from '../../../schemas/limits.ts'
import { CommandError } from '../errors.ts'
import { type Format, printable, printPage } from '../output.ts'
import { type Context, formatOption, wholeNumber } from './context.ts'
import { credentialsOf, type Listed, ownerText, pathOf } from './credential-rows.ts'
import { addCredentialsConnect } from './credentials-connect.ts'
import { addCredentialsRotate, addCredentialsSet } from './credentials-set.ts'

type Shown = { format: Format }

export function addCredentials(program: Command, context: Context): void {
  const credentials = program
    .command('credentials')
    .description('the secrets that servers want from the gateway; they never come out again')
  addCredentialsSet(credentials, context)
  addCredentialsConnect(credentials, context)
  addList(credentials, context)
  addTest(credentials, context)
  addCredentialsRotate(credentials, context)
  addRemove(credentials, context)
}

function addList(credentials: Command, { io, admin }: Context): void {
  credentials
    .command('ls')
    .description('list credentials by server, the one of the deployment first; never their secrets')
    .option('--server <id>', 'only of this server')
    .option('--user <id>', 'only of this person')
    .option('--limit <n>', 'how many', wholeNumber(1, ROWS_PAGE_MAX), 200)
    .option('--after <id>', 'only those behind this one: the next page')
    .addOption(formatOption())
    .addHelpText('after', '\nExample:\n  cedargate credentials ls --server everything')
    .action(async ({ format, ...query }: Listed & Shown) => {
      const rows = await credentialsOf(await admin(), query)
      const empty =
        Object.keys(query).length > 1
          ? 'no credentials match'
          : 'no credentials yet; see `cedargate credentials set --help`'
      printPage(io, format, { rows, columns: COLUMNS, empty, limit: query.limit, next: '--after' })
    })
}

function addTest(credentials: Command, { io, admin }: Context): void {
  credentials
    .command('test')
    .description('say whether a credential could be used now; exit 3 if not')
    .argument('<id>', ID)
    .addOption(formatOption())
    .action(async (id: string, { format }: Shown) => {
      const path = `${pathOf(id)}/test`
      const tested = await (await admin()).post(path, {}, testedCredential)
      if (format === 'json') io.out(JSON.stringify(tested, null, 2))
      if (!tested.ok)
        throw new CommandError(printable(tested.problem ?? 'it cannot be used'), {
          exit: EXIT.invalid,
        })
      if (format === 'json') return
      const { version, server, user } = tested
      io.out(printable(`credential ${id} version ${version} for server ${server} of ${ownerText(user)} is ok`)) // biome-ignore format: long
    })
}

function addRemove(credentials: Command, { io, admin }: Context): void {
  credentials
    .command('rm')
    .description('forget a credential; calls that need it are refused from then on')
    .argument('<id>', ID)
    .addOption(formatOption())
    .addHelpText('after', '\nIt stays valid where it was made: revoke it there too.')
    .action(async (id: string, { format }: Shown) => {
      const removed = await (await admin()).deleteFor(pathOf(id), removedCredential)
      if (format === 'json') return io.out(JSON.stringify(removed, null, 2))
      const { server, user } = removed
      io.err(printable(`credential ${id} for server ${server} of ${ownerText(user)} is removed`))
    })
}

const ID = 'id of the credential, see `cedargate credentials ls`'

const COLUMNS = [
  { title: 'ID', of: (row: CredentialRow) => row.id },
  { title: 'SERVER', of: (row: CredentialRow) => row.server },
  { title: 'USER', of: (row: CredentialRow) => row.user ?? '' },
  { title: 'KIND', of: (row: CredentialRow) => row.kind },
  { title: 'NAMES', of: (row: CredentialRow) => row.names.join(',') },
  { title: 'VERSION', of: (row: CredentialRow) => String(row.version) },
  { title: 'STATE', of: (row: CredentialRow) => row.state },
  { title: 'EXPIRES', of: (row: CredentialRow) => row.expiresAt ?? '' },
  { title: 'LAST USED', of: (row: CredentialRow) => row.lastUsedAt ?? 'never' },
]
