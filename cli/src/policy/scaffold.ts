// Owns `cedargate policy scaffold`: a draft of a server's policies, printed or written once.
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { formatPolicyFiles } from '../../../pdp/src/bundle/format.ts'
import { draftPolicies } from '../../../pdp/src/bundle/scaffold.ts'
import { subjectId } from '../../../schemas/identifiers.ts'
import type { Context } from '../commands/context.ts'
import { CommandError } from '../errors.ts'
import { orInvalid, readBundle } from './bundle.ts'

type Options = {
  readonly server: string
  readonly team: string
  readonly owner?: string
  readonly write: boolean
}

const OWNER = /^[a-z0-9][a-z0-9_-]*$/

/** Drafts from the lock. Throws CommandError when the server is not in the bundle, or its file exists already. */
export async function scaffoldServer(
  { config, io }: Pick<Context, 'config' | 'io'>,
  directory: string,
  { server, team, owner = server, write }: Options,
): Promise<void> {
  if (!subjectId.safeParse(team).success) throw new CommandError('--team is not a team id')
  if (!OWNER.test(owner)) throw new CommandError('--owner must be of a–z, 0–9, `-`, `_`')
  const bundle = await orInvalid(() => readBundle(directory, config))
  const found = bundle.servers.get(server)
  if (found === undefined) {
    throw new CommandError(`no server \`${server}\` in ${directory}`, {
      hint: `the bundle has: ${[...bundle.servers.keys()].join(', ')}`,
    })
  }
  const draft = draftPolicies({ server, owner, team, tools: [...found.tools.values()] })
  const file = `cedar/${server}.cedar`
  const [formatted] = await formatPolicyFiles([{ file, text: draft }])
  const text = formatted?.outcome === 'changed' ? formatted.text : draft
  if (!write) return io.out(text.trimEnd())
  const path = join(directory, file)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, text, { flag: 'wx' }).catch((cause: unknown) => {
    const exists = (cause as NodeJS.ErrnoException).code === 'EEXIST'
    throw new CommandError(exists ? `${path} exists` : `${path} cannot be written`, { cause })
  })
  io.err(`${path} is a draft: read every policy, then run \`cedargate policy check ${directory}\``)
}
