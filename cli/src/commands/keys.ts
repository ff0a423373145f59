// Owns `cedargate keys`: making the keys of a PDP, and showing which of them credentials are encrypted with. Never prints
// a key.
import { join } from 'node:path'
import type { Command } from 'commander'
import type { CredentialKeys } from '../../../schemas/credentials-api.ts'
import { CommandError } from '../errors.ts'
import { makePrivateDirectory } from '../make-private.ts'
import { type Format, printRows } from '../output.ts'
import { rethrow } from '../service-errors.ts'
import { type Context, formatOption } from './context.ts'
import { addKeysRotate, askKeys } from './keys-rotate.ts'

type Shown = { format: Format }

export function addKeys(program: Command, context: Context): void {
  const keys = program
    .command('keys')
    .description('the keys of a PDP: of the deployment, of its data, of credentials')
  addCreate(keys, context)
  addList(keys, context)
  addKeysRotate(keys, context)
}

function addCreate(keys: Command, { config, io }: Context): void {
  keys
    .command('create')
    .description('make the keys in $CEDARGATE_HOME/keys; never overwrites')
    .addOption(formatOption())
    .action(async ({ format }: Shown) => {
      const directory = join(config.home, 'keys')
      const { createKeys } = await import('../../../pdp/src/keys/keys.ts')
      await makePrivateDirectory(config.home).catch(unwritable(config.home))
      await createKeys(directory).catch(rethrow)
      io.out(format === 'json' ? JSON.stringify({ keys: directory }, null, 2) : directory)
      io.err('back these keys up; without them nothing recorded can be read or checked')
    })
}

function addList(keys: Command, { io, admin }: Context): void {
  keys
    .command('ls')
    .description('list the keys that credentials are encrypted with, and how many each has')
    .addOption(formatOption())
    .action(async ({ format }: Shown) => {
      const found = await askKeys(await admin())
      const rows = found.keys.map((key) => ({ ...key, current: key.id === found.current }))
      printRows(io, format, rows, COLUMNS, 'no keys yet; `cedargate keys rotate` makes one')
      if (format === 'text') io.err(`from ${found.source}`)
    })
}

type Row = CredentialKeys['keys'][number] & { readonly current: boolean }

const COLUMNS = [
  { title: 'ID', of: (row: Row) => row.id },
  { title: 'USE', of: useOf },
  { title: 'CREDENTIALS', of: (row: Row) => String(row.credentials) },
]

function useOf({ known, current }: Row): string {
  if (!known) return 'missing'
  return current ? 'encrypts' : 'decrypts'
}

function unwritable(home: string): (cause: unknown) => never {
  return (cause) => {
    throw new CommandError(`CEDARGATE_HOME ${home} cannot be written`, {
      hint: 'set CEDARGATE_HOME to a directory you own',
      cause,
    })
  }
}
