// Owns `cedargate credentials set` and `rotate`: the two ways a secret goes in. Never takes one from argv.
import type { Command } from 'commander'
import {
  type CredentialRow,
  credentialRequest,
  credentialRow,
  givenSecret,
} from '../../../schemas/credentials-api.ts'
import { CommandError } from '../errors.ts'
import type { Format } from '../output.ts'
import { readSecret, type SecretSource } from '../read-secret.ts'
import { type Context, formatOption } from './context.ts'
import { CREDENTIALS, credentialOf, pathOf, printCredential } from './credential-rows.ts'
import {
  checked,
  type Kind,
  kindOf,
  type Named,
  nameOf,
  refuseWords,
  requireSource,
  withKind,
  withoutEcho,
  withSource,
} from './secret-options.ts'

type SetOptions = Named & SecretSource & { server: string; user?: string; format: Format }
type RotateOptions = Pick<Named, 'header' | 'env'> & SecretSource & { format: Format }

export function addCredentialsSet(credentials: Command, { io, admin }: Context): void {
  const set = credentials
    .command('set')
    .description('set the secret that the gateway adds to calls of a server that were allowed')
    .requiredOption('--server <id>', 'the server that wants it')
    .option('--user <id>', 'for the calls of this person; default: of everybody')
  withKind(set).option(
    '--client [id]',
    'it is of an OAuth client; default: the one server.yaml names',
  )
  withoutEcho(withSource(set))
    .addOption(formatOption())
    .addHelpText('after', SET_HELP)
    .action(async (options: SetOptions, command: Command) => {
      refuseWords(command, 0)
      const kind = kindOf(options)
      const source = requireSource(options)
      const client = await admin()
      const body = checked(credentialRequest, {
        server: options.server,
        user: options.user ?? null,
        secret: { ...kind, value: await readSecret(source, io) },
      })
      printCredential(io, options.format, await client.put(CREDENTIALS, body, credentialRow))
    })
}

export function addCredentialsRotate(credentials: Command, { io, admin }: Context): void {
  withoutEcho(withSource(credentials.command('rotate')))
    .description('put a new secret in the place of one; without one, get a new OAuth access token')
    .argument('<id>', 'id of the credential, see `cedargate credentials ls`')
    .option('--header <name>', 'which header, where it holds more than one')
    .option('--env <name>', 'which variable, where it holds more than one')
    .addOption(formatOption())
    .addHelpText('after', ROTATE_HELP)
    .action(async (id: string, options: RotateOptions, command: Command) => {
      refuseWords(command, 1)
      const path = `${pathOf(id)}/rotate`
      const client = await admin()
      const named = Object.keys(nameOf(options)).length > 0
      if (options.stdin === undefined && options.file === undefined && !named)
        return printCredential(io, options.format, await client.post(path, {}, credentialRow))
      const source = requireSource(options)
      const kind = placeOf(await credentialOf(client, id), options)
      const secret = checked(givenSecret, { ...kind, value: await readSecret(source, io) })
      printCredential(io, options.format, await client.post(path, { secret }, credentialRow))
    })
}

/** What a new secret takes the place of. */
function placeOf({ kind, names }: CredentialRow, options: Pick<Named, 'header' | 'env'>): Kind {
  if (kind === 'oauth')
    throw new CommandError('this credential is an account that somebody connected', {
      hint: '`cedargate credentials connect` connects it anew; `rotate <id>` alone gets a new access token',
    })
  const named = Object.entries(nameOf(options))
  const [[of, name] = []] = named
  if (named.length > 1 || (of !== undefined && of !== kind))
    throw new CommandError(`this credential is of kind ${kind}: --${of} does not name it`)
  if (kind === 'client' || kind === 'client_credentials') return { kind: 'client' }
  if (kind === 'bearer' || kind === 'basic') return { kind }
  const only = names.length === 1 ? names[0] : undefined
  if (name !== undefined || only !== undefined) return { kind, name: name ?? only ?? '' }
  throw new CommandError(`name which of ${names.join(', ')}: --${kind} <name>`)
}

const SET_HELP = `
Examples:
  cedargate credentials set --server everything --header x-api-key --stdin
  cedargate credentials set --server github --bearer --file token.txt --user carol
  pass show files | cedargate credentials set --server files --env API_TOKEN --stdin
One newline at the end is cut. \`credential\` in server.yaml says what a server wants; --header and --env may be set for one name after
the other. A secret that is set again is replaced.`

const ROTATE_HELP = `
Examples:
  cedargate credentials rotate 0199… --stdin
  cedargate credentials rotate 0199…            an OAuth credential: a new access token`
