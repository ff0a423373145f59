// Owns `cedargate keys rotate`: changing the key that credentials are encrypted with, while the gateway runs. Never prints
// a key, and never takes one away that something is still encrypted with.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { EXIT } from '../../../schemas/codes.ts'
import { type CredentialKeys, credentialKeys, type RewrapLine } from '../../../schemas/credentials-api.ts' // biome-ignore format: long
import type { AdminClient } from '../admin-client.ts'
import { CommandError } from '../errors.ts'
import type { Format, Terminal } from '../output.ts'
import { rethrow } from '../service-errors.ts'
import { type Context, formatOption } from './context.ts'
import { type Rewrapping, rewrap } from './keys-rewrap.ts'

type Options = { stage?: true; use?: string; rewrap?: true; drop?: string; format: Format }
type KeyFile = typeof import('../../../pdp/src/keys/key-file.ts')
type Rotation = Rewrapping & {
  readonly file: KeyFile
  readonly directory: string
  readonly path: string
}

export function addKeysRotate(keys: Command, { config, io, admin }: Context): void {
  const stage = new Option('--stage', 'only add a new key, which decrypts')
  const use = new Option('--use <id>', 'take this key, which was staged')
  const again = new Option('--rewrap', 'change no key; go on where encrypting anew has stopped')
  keys
    .command('rotate')
    .description('encrypt credentials with a new key: new ones, and those there are')
    .addOption(stage.conflicts(['use', 'rewrap', 'drop']))
    .addOption(use.conflicts(['rewrap', 'drop']))
    .addOption(again.conflicts('drop'))
    .option('--drop <id>', 'take a key away that encrypts nothing any more')
    .addOption(formatOption())
    .addHelpText('after', ROTATE_HELP)
    .action(async (options: Options) => {
      const directory = join(config.home, 'keys')
      const file = await import('../../../pdp/src/keys/key-file.ts')
      const path = join(directory, file.CREDENTIAL_KEYS_FILE)
      const { format } = options
      const open = async (): Promise<Rotation> => ({ io, format, file, directory, path, client: await admin() }) // biome-ignore format: long
      if (options.rewrap) {
        const rotation = await open()
        return said(rotation, await rewrap(rotation))
      }
      if (!existsSync(directory)) throw notHere(path)
      if (options.stage) return stageKey(io, format, path, await file.stageKey(directory).catch(rethrow)) // biome-ignore format: long
      if (options.drop !== undefined) return dropKey(await open(), options.drop)
      return useKey(await open(), options.use)
    })
}

function stageKey(io: Terminal, format: Format, path: string, { id }: { id: string }): void {
  if (format === 'json') return io.out(JSON.stringify({ id }, null, 2))
  io.out(id)
  io.err(`key ${id} is in ${path} and decrypts; it encrypts nothing yet
next: copy the file to every PDP of this deployment, and then run \`cedargate keys rotate --use ${id}\``)
}

async function useKey(rotation: Rotation, staged: string | undefined): Promise<void> {
  const { file, directory, path } = rotation
  await requireSameKeys(rotation)
  const { id, was } = await file.useNewKey(directory, staged).catch(rethrow)
  const last = await rewrap(rotation).catch((cause: unknown) => {
    if (!(cause instanceof CommandError) || cause.exit === EXIT.invalid) throw cause
    throw new CommandError(`${path} has the new key ${id}, but: ${cause.message}`, {
      exit: cause.exit,
      hint: `nothing is lost, both keys decrypt; go on with ${AGAIN}`,
      cause,
    })
  })
  if (last.key !== id) {
    throw new CommandError(`the gateway encrypts with key ${last.key}, not with the new key ${id}`, {
      hint: `copy ${path} to every PDP of this deployment, then run ${AGAIN}; nothing is lost`,
    })
  } // biome-ignore format: long
  said(rotation, last)
  if (rotation.format === 'json') return
  rotation.io.err(`next: copy ${path} to every other PDP of this deployment, and back it up`)
  if (was !== null)
    rotation.io.err(`key ${was} stays in it and decrypts: keep it as long as you may want a backup of the database from before
then take it away: cedargate keys rotate --drop ${was}`)
}

function said({ io, format }: Rewrapping, { key, done, total }: RewrapLine): void {
  if (format === 'text') io.err(`encrypted anew with key ${key}: ${done} of ${total} credentials`)
}

async function dropKey(rotation: Rotation, id: string): Promise<void> {
  const { io, format, file, directory, path } = rotation
  await file.dropKey(directory, id, () => assertUnused(rotation, id)).catch(rethrow)
  if (format === 'json') return io.out(JSON.stringify({ dropped: id }, null, 2))
  io.err(`key ${id} is no longer in ${path}; on every other host that has it, run this too, and copy no file for it`)
} // biome-ignore format: long lines

async function assertUnused(rotation: Rotation, id: string): Promise<void> {
  const { keys } = await requireSameKeys(rotation)
  const credentials = keys.find((key) => key.id === id)?.credentials ?? 0
  if (credentials === 0) return
  throw new CommandError(`key ${id} encrypts ${credentials} credentials`, {
    exit: EXIT.invalid,
    hint: `${AGAIN} encrypts them with the current key`,
  })
}

/** What the gateway says of its keys. Throws CommandError where it has them not from this file: another's would be changed. */
async function requireSameKeys({ client, file, directory, path }: Rotation): Promise<CredentialKeys> {
  const keys = await askKeys(client)
  const setting = file.CREDENTIAL_KEYS_SETTING
  if (keys.source === setting)
    throw new CommandError(`the gateway has its keys from ${setting}, not from a file`, {
      hint: `put the new key first in it, restart every PDP with old and new, then run ${AGAIN}`,
    })
  const [first] = (await file.readKekFile(directory).catch(rethrow)) ?? []
  if ((first?.id ?? null) === keys.current) return keys
  const theirs = keys.current ?? 'no key'
  throw new CommandError(`the gateway encrypts with ${theirs} from ${keys.source}, ${path} begins with ${first?.id ?? 'none'}`, {
    hint: `run this where its PDP has its keys, with that CEDARGATE_HOME`,
  })
} // biome-ignore format: long

export function askKeys(client: AdminClient): Promise<CredentialKeys> {
  return client.get('/admin/v1/credential-keys', credentialKeys)
}

function notHere(path: string): CommandError {
  return new CommandError(`there are no keys here: ${path}`, {
    hint: 'run this where the PDP has its keys, with its CEDARGATE_HOME',
  })
}

const AGAIN = '`cedargate keys rotate --rewrap`'

const ROTATE_HELP = `
The key file is $CEDARGATE_HOME/keys/credentials.key: its first key encrypts, all of them decrypt. Calls go on meanwhile.
One PDP, or several that read one file:
  cedargate keys rotate
PDPs on several hosts: first give all of them a key that nothing is encrypted with yet.
  cedargate keys rotate --stage           then copy the file to each
  cedargate keys rotate --use <id>        then copy it again
The old key is kept until, on each host,
  cedargate keys rotate --drop <id>
Keys in CEDARGATE_CREDENTIAL_KEYS are changed there: put a new one first (openssl rand -base64 32), restart every PDP with
new and old, all with the same, and then
  cedargate keys rotate --rewrap
Of several PDPs those that are not restarted yet cannot read what the others encrypt: put it last and restart all, before.
Take the old one out when all run with the new one first, and \`cedargate keys ls\` says that it encrypts 0.`
