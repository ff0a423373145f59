// Owns the options that say what a secret is and where it is read from. Never takes one from argv, and never repeats what
// may be one.
import type { Command } from 'commander'
import type { z } from 'zod'
import type { GivenSecret } from '../../../schemas/credentials-api.ts'
import { CommandError } from '../errors.ts'
import type { SecretSource } from '../read-secret.ts'

/** What a secret is: exactly one of these. */
export type Named = {
  header?: string
  env?: string
  bearer?: true
  basic?: true
  client?: string | true
}

export function withSource(command: Command): Command {
  return command
    .option('--stdin', 'read the secret from stdin; a terminal asks for it and does not show it')
    .option('--file <path>', 'read the secret from this file')
}

/** What `--help` does not name comes to the action, which refuses it by `refuseWords`: commander would repeat it. */
export function withoutEcho(command: Command): Command {
  return command.allowExcessArguments().allowUnknownOption()
}

/** `taken`: how many arguments the command has. Of what is refused no more is said than the name of an option. */
export function refuseWords({ args }: Command, taken: number): void {
  const option = args.map((word) => /^(?:--[a-z-]*|-.)/.exec(word)?.[0]).find(Boolean)
  if (option === undefined && args.length <= taken) return
  throw new CommandError(option === undefined ? 'too many arguments' : `unknown option '${option}'`, {
    hint: 'a secret is not taken from the command line, which the shell keeps and every process here can read: if this was one, replace it, and give it with --stdin or --file <path>',
  })
} // biome-ignore format: long lines

export function withKind(command: Command): Command {
  return command
    .option('--header <name>', 'the secret is sent in this header')
    .option('--env <name>', 'it is given to a stdio server, in this environment variable')
    .option('--bearer', 'it is sent as `Authorization: Bearer <secret>`')
    .option('--basic', 'it is user:password, and is sent as `Authorization: Basic …`')
}

export type Kind = Readonly<Record<string, string>> & { readonly kind: GivenSecret['kind'] }

/** What the secret is; its names are checked with it. Throws CommandError where that is not said once. */
export function kindOf(options: Named): Kind {
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
    'say what the secret is, by one of --header <name>, --env <name>, --bearer, --basic (--help has all)',
  )
}

export function nameOf({ header, env }: Pick<Named, 'header' | 'env'>): Record<string, string> {
  return { ...(header === undefined ? {} : { header }), ...(env === undefined ? {} : { env }) }
}

export function requireSource({ stdin, file }: SecretSource): SecretSource {
  if ((stdin === undefined) === (file === undefined))
    throw new CommandError('say where the secret is: --stdin or --file <path>')
  return file === undefined ? { stdin: true } : { file }
}

/** As the gateway would check it. The error names the option, and what it was given only where that is a name that is taken. */
export function checked<Schema extends z.ZodType>(schema: Schema, body: object): z.infer<Schema> {
  const read = schema.safeParse(body)
  if (read.success) return read.data
  const [issue] = read.error.issues
  const field = String(issue?.path.at(-1))
  const { kind, name } = ('secret' in body ? body.secret : body) as Kind
  const what = { value: 'the secret', name: `--${kind}`, clientId: '--client' }[field]
  const isTaken = field === 'name' && issue?.code === 'custom'
  const option = `${what ?? `--${field}`}${isTaken ? ` ${name}:` : ''}`
  throw new CommandError(`${option} ${issue?.message ?? 'is not valid'}`)
}
