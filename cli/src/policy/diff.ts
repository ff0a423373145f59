// Owns `cedargate policy diff`: two revisions of a bundle side by side, and the decisions that flip between them.
import {
  type BundleDiff,
  type DiffSide,
  diffBundles,
  type Flip,
} from '../../../pdp/src/policy-tests/diff.ts'
import { readTestFiles, readTests } from '../../../pdp/src/policy-tests/run.ts'
import { EXIT } from '../../../schemas/codes.ts'
import type { Context } from '../commands/context.ts'
import type { CliConfig } from '../config.ts'
import { CommandError } from '../errors.ts'
import { type Format, printable, type Terminal } from '../output.ts'
import { orInvalid, readBundle } from './bundle.ts'
import { withRevision } from './git.ts'

type Options = { readonly before: string; readonly after: string; readonly format: Format }

/** The files as they are, committed or not. */
const WORKING_TREE = '.'

/** Prints what differs. Throws CommandError: exit 5 when a decision flips, 3 when one revision is invalid. */
export async function diffRevisions(
  { config, io }: Pick<Context, 'config' | 'io'>,
  directory: string,
  { before, after, format }: Options,
): Promise<void> {
  const old = await readSide(directory, before, config)
  const now = await readSide(directory, after, config)
  const diff = await diffBundles(old, now)
  if (format === 'json') io.out(JSON.stringify(diff, null, 2))
  else print(io, diff)
  if (diff.flips.length === 0) return
  throw new CommandError(`${diff.flips.length} of ${diff.asked} decisions flip`, {
    exit: EXIT.drift,
  })
}

function readSide(directory: string, revision: string, config: CliConfig): Promise<DiffSide> {
  const read = (files: string): Promise<DiffSide> =>
    orInvalid(async () => {
      const bundle = await readBundle(files, config)
      return { bundle, tests: readTests(await readTestFiles(files), bundle) }
    }, `${revision}: `)
  if (revision === WORKING_TREE) return read(directory)
  return withRevision(directory, revision, config.env, read)
}

const SIGNS = { added: '+', removed: '-', changed: '~' } as const

function print(io: Terminal, { gateway, policies, servers, flips, asked }: BundleDiff): void {
  if (gateway) io.out('~ gateway.yaml')
  for (const { change, server, tool } of servers) {
    io.out(
      `${SIGNS[change]} ${tool === null ? `server ${server}` : printable(`tool ${server}/${tool}`)}`,
    )
  }
  for (const { change, id, before, after } of policies) {
    io.out(`${SIGNS[change]} policy ${id}`)
    if (change !== 'changed') continue
    io.out(`    before ${printable(before ?? '')}`)
    io.out(`    after  ${printable(after ?? '')}`)
  }
  for (const flip of flips) for (const line of flipLines(flip)) io.out(line)
  io.err(`${asked} requests of the tests were asked, ${flips.length} flip`)
}

function flipLines({ name, file, before, after, shown, hidden }: Flip): string[] {
  return [
    `! ${file}: ${printable(name)}: ${said(before)} → ${said(after)}`,
    ...shown.map((tool) => `    listed now: ${printable(tool)}`),
    ...hidden.map((tool) => `    listed no more: ${printable(tool)}`),
  ]
}

function said({ decision, code, policies }: Flip['before']): string {
  return `${decision} (${code}) by ${policies.join(', ') || 'nothing'}`
}
