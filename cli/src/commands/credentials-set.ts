// Owns `cedargate credentials set` and `rotate`: the two ways a secret goes in. Never takes one from argv.
import type { Command } from 'commander'
import { z } from 'zod'
import {
  type CredentialRow,
  credentialRequest,
  credentialRow,
  type GivenSecret,
  givenSecret,
} from '../../../schemas/credentials-api.ts'
import { CommandError } from '../errors.ts'
import type { Format } from '../output.ts'
import { readSecret, type SecretSource } from '../read-secret.ts'
import { type Context, formatOption } from './context.ts'
import { CREDENTIALS, credentialOf, pathOf, printCredential } from './credential-rows.ts'

type Named = { header?: string; env?: string; bearer?: true; basic?: true; client?: string | true }
type SetOptions = Named & SecretSource & { server: string; user?: string; format: Format }
type RotateOptions = Pick<Named, 'header' | 'env'> & SecretSource & { format: Format }

export function addCredentialsSet(credentials: Command, { io, admin }: Context): void {
  withSource(credentials.command('set'))
    .description('set the secret that the gateway adds to calls of a server that were allowed')
    .requiredOption('--server <id>', 'the server that wants it')
    .option('--user <id>', 'for the calls of this person; default: of everybody')
    .option('--header <name>', 'a header that is sent with every call')
    .option('--env <name>', 'an environment variable of a stdio server')
    .option('--bearer', '`Authorization: Bearer <secret>`')
    .option('--basic', '`Authorization: Basic …`; the secret is user:password')
    .option('--client [id]', 'the secret of an OAuth client; default: the one server.yaml names')
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
  withSource(credentials.command('rotate'))
    .description('put a new secret in the place of one; without one, get a new OAuth access token')
    .argument('<id>', 'id of the credential, see `cedargate credentials ls`')
    .option('--header <name>', 'which header, where it holds more than one')
    .option('--env <name>', 'which variable, where it holds more than one')
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

/** Words that are no options come to the action, which can refuse them without showing them. */
function withSource(command: Command): Command {
  return command
    .option('--stdin', 'read the secret from stdin; a terminal asks for it and does not show it')
    .option('--file <path>', 'read the secret from this file')
    .addOption(formatOption())
    .allowExcessArguments()
    .allowUnknownOption()
}

function refuseWords({ args }: Command, taken: number): void {
  if (args.length <= taken) return
  throw new CommandError(
    'a secret is not taken from the command line, nor is anything else that --help does not name',
    {
      hint: 'the shell keeps what you type, and every process here can read it: if it was a secret, replace it; give it with --stdin or --file <path>',
    },
  )
}

type Kind = Readonly<Record<string, string>> & { readonly kind: GivenSecret['kind'] }

/** What the secret is. Its names are checked with it. */
function kindOf(options: Named): Kind {
  const { bearer, basic, client } = options
  const kinds: Kind[] = Object.entries(nameOf(options)).map(([kind, name]) =>
    kind === 'header' ? { kind: 'header', name } : { kind: 'env', name },
  )
  if (bearer) kinds.push({ kind: 'bearer' })
  if (basic) kinds.push({ kind: 'basic' })
  if (client === true) kinds.push({ kind: 'client' })
  else if (client !== undefined) kinds.push({ kind: 'client', clientId: client })
  const [kind, other] = kinds
  if (kind !== undefined && other === undefined) return kind
  throw new CommandError(
    'say what the secret is, by one of --header <name>, --env <name>, --bearer, --basic, --client [id]',
  )
}

function nameOf({ header, env }: Pick<Named, 'header' | 'env'>): Record<string, string> {
  return { ...(header === undefined ? {} : { header }), ...(env === undefined ? {} : { env }) }
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

function requireSource({ stdin, file }: SecretSource): SecretSource {
  if ((stdin === undefined) === (file === undefined))
    throw new CommandError('say where the secret is: --stdin or --file <path>')
  return file === undefined ? { stdin: true } : { file }
}

/** As the gateway would check it. The error names the option, never what it was given. */
function checked<Schema extends z.ZodType>(schema: Schema, body: object): z.infer<Schema> {
  const read = schema.safeParse(body)
  if (read.success) return read.data
  const [issue] = read.error.issues
  const field = String(issue?.path.at(-1))
  const kind = String((('secret' in body ? body.secret : body) as Kind).kind)
  const what = { value: 'the secret', name: `--${kind}`, clientId: '--client' }[field]
  throw new CommandError(`${what ?? `--${field}`} ${issue?.message ?? 'is not valid'}`)
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
