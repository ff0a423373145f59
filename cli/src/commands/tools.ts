// Owns `cedargate tools`: from a live server to the reviewed definitions a bundle is typed by, and what changed since.
import { type Command, InvalidArgumentError, Option } from 'commander'
import { z } from 'zod'
import { type ToolRow, toolRow } from '../../../schemas/admin-api.ts'
import { RISKS, type Risk } from '../../../schemas/bundle.ts'
import { EXIT } from '../../../schemas/codes.ts'
import { givenSecret } from '../../../schemas/credentials-api.ts'
import { bundleDirectory } from '../bundle-directory.ts'
import { CommandError } from '../errors.ts'
import { type Format, printable, printRows } from '../output.ts'
import { readSecret, type SecretSource } from '../read-secret.ts'
import type { Place, ServerCheck } from '../reviewed-tools.ts'
import { type Context, formatOption } from './context.ts'
import {
  checked,
  kindOf,
  type Named,
  refuseWords,
  requireSource,
  withKind,
  withoutEcho,
  withSource,
} from './secret-options.ts'
import { comparedText, diffText, lockChangeText, riskText } from './tools-text.ts'

type Bundle = { bundle?: string }
type Secret = Named & SecretSource
type Shown = Bundle & { format: Format }
type ApproveOptions = Bundle & Secret & { expect: string; variant?: true; risk?: Risk }

export function addTools(program: Command, context: Context): void {
  const tools = program.command('tools').description('reviewed tool definitions of a bundle')
  addLock(tools, context)
  addCheck(tools, context)
  addDiff(tools, context)
  addClassify(tools, context)
  addApprove(tools, context)
  addLs(tools, context)
}

function addLock(tools: Command, context: Context): void {
  withSecret(tools.command('lock'))
    .description('read the tools of a server and write them to its tools.lock.json, for review')
    .argument('<server>', 'a server with a server.yaml in the bundle')
    .addOption(bundleOption())
    .option('--add-variants', 'keep what was reviewed beside what is served now')
    .addHelpText('after', LOCK_HELP)
    .action(async (server: string, options: Bundle & Secret & { addVariants?: true }, command: Command) => {
      refuseWords(command, 1)
      const { lockServer } = await import('../reviewed-tools.ts')
      const place = await presenting(context, placeOf(context, server, options), options)
      const { path, tools: locked, changes, leftOut } = await lockServer(place, options.addVariants === true)
      for (const tool of locked) context.io.out(`${printable(tool.tool).padEnd(32)} ${riskText(tool)}`)
      for (const change of changes) context.io.err(lockChangeText(change))
      for (const name of leftOut) context.io.err(`left out  ${printable(name)}: no valid tool definition`)
      for (const tool of locked)
        for (const it of tool.contradictions) context.io.err(`doubtful  ${printable(tool.tool)}: ${it}`)
      const what = changes.length === 0 ? 'as before' : 'review each definition and its risk, then commit it'
      context.io.err(`${path} holds ${locked.length} tools: ${what}`)
    })
} // biome-ignore format: long lines

const LOCK_HELP = `
A server that wants a credential is shown one for this look alone: --bearer --file token.txt.
The risk comes from rules over name, description, arguments and annotations; each says why. Correct it in the file: a
risk that is not what the rules say is yours and stays, and is raised only when the rules say worse of a changed tool.
A server that is started for it runs as CEDARGATE_ISOLATION says (see \`cedargate pep --help\`).
Without --add-variants a tool has one reviewed definition, and what the server no longer serves is dropped. Example:
  cedargate tools lock files --bundle policies`

function addCheck(tools: Command, context: Context): void {
  withSecret(tools.command('check'))
    .description('compare live servers with their locks; exit 5 on drift, 2 if one could not be checked')
    .argument('[server...]', 'default: every server of the bundle')
    .addOption(bundleOption())
    .addOption(formatOption())
    .addHelpText('after', '\nDrift anywhere exits with 5, even if another server could not be checked.')
    .action(async (named: string[], options: Shown & Secret, command: Command) => {
      refuseWords(command, named.length)
      const { checkServer } = await import('../reviewed-tools.ts')
      const checks: ServerCheck[] = []
      const places = await placesOf(context, named, options)
      if (places.length > 1 && isGiven(options))
        throw new CommandError('a secret is shown to one server: name that one alone')
      for (const place of places) checks.push(await checkServer(await presenting(context, place, options)))
      if (options.format === 'json') context.io.out(JSON.stringify(checks, null, 2))
      else for (const check of checks) printCheck(context, check)
      endOf(checks)
    })
} // biome-ignore format: long lines

function printCheck({ io }: Context, { server, state, reason, tools }: ServerCheck): void {
  io.out(`${state.padEnd(9)} ${server}${reason === null ? `  ${tools.length} tools` : `  ${reason}`}`)
  for (const tool of tools) if (tool.state !== 'reviewed') io.out(`  ${comparedText(tool)}`)
} // biome-ignore format: a long line

function endOf(checks: readonly ServerCheck[]): void {
  const drifted = checks.filter(({ state }) => state === 'drift').map(({ server }) => server)
  const unchecked = checks.filter(({ state }) => state === 'unchecked').map(({ server }) => server)
  if (drifted.length > 0)
    throw new CommandError(`not as reviewed: ${drifted.join(', ')}`, {
      exit: EXIT.drift,
      hint: `see \`cedargate tools diff ${drifted[0] ?? ''}\``,
    })
  if (unchecked.length > 0) throw new CommandError(`could not be checked: ${unchecked.join(', ')}`)
}

function addDiff(tools: Command, context: Context): void {
  withSecret(tools.command('diff'))
    .description('show what live definitions changed against the reviewed ones; exit 5 if anything')
    .argument('<server[/tool]>', 'a server, or one tool of it')
    .addOption(bundleOption())
    .addOption(formatOption())
    .addHelpText('after', DIFF_HELP)
    .action(async (target: string, options: Shown & Secret, command: Command) => {
      refuseWords(command, 1)
      const { diffServer } = await import('../reviewed-tools.ts')
      const { server, tool } = targetOf(target)
      const place = await presenting(context, placeOf(context, server, options), options)
      const found = await diffServer(place, tool)
      if (options.format === 'json') context.io.out(JSON.stringify(found, null, 2))
      else for (const line of found.flatMap(diffText)) context.io.out(line)
      const changed = found.filter(({ state }) => state !== 'reviewed').length
      if (changed > 0)
        throw new CommandError(`${changed} tools are not as reviewed`, { exit: EXIT.drift })
    })
}

const DIFF_HELP = `
Words are [-removed-] and {+added+}; hidden characters are spelt out, e.g. \\u{202e}. Example:
  cedargate tools diff files/read_file`

function addClassify(tools: Command, context: Context): void {
  tools
    .command('classify')
    .description('what the rules say of each reviewed tool and why, and where the lock says otherwise')
    .argument('[server...]', 'default: every server of the bundle')
    .addOption(bundleOption())
    .addOption(formatOption())
    .action(async (named: string[], options: Shown) => {
      const { classifyServer } = await import('../reviewed-tools.ts')
      const places = await placesOf(context, named, options)
      const rated = await Promise.all(places.map((it) => classifyServer(it.bundle, it.server)))
      if (options.format === 'json') return context.io.out(JSON.stringify(rated.flat(), null, 2))
      for (const tool of rated.flat()) {
        context.io.out(`${printable(`${tool.server}/${tool.tool}`).padEnd(40)} ${riskText(tool)}`)
        for (const it of tool.contradictions) context.io.err(`doubtful: ${printable(tool.tool)}: ${it}`)
      }
    })
} // biome-ignore format: long lines

function addApprove(tools: Command, context: Context): void {
  withSecret(tools.command('approve'))
    .description('write one live definition to the lock, if it still is the one that was reviewed')
    .argument('<server/tool>', 'as `cedargate tools diff` names it')
    .addOption(bundleOption())
    .requiredOption('--expect <hash>', 'sha256 that `tools diff` showed, or `removed`', expected)
    .option('--variant', 'keep the reviewed definitions of the tool beside this one')
    .addOption(new Option('--risk <risk>', 'default: yours if you set one, else what the rules say').choices(RISKS))
    .addHelpText('after', APPROVE_HELP)
    .action(async (target: string, options: ApproveOptions, command: Command) => {
      refuseWords(command, 1)
      const { approve } = await import('../reviewed-tools.ts')
      const { server, tool } = targetOf(target)
      if (tool === undefined) throw new CommandError('name one tool: <server>/<tool>')
      const { expect, variant = false, risk } = options
      const place = await presenting(context, placeOf(context, server, options), options)
      const done = await approve(place, { tool, expect, variant, risk })
      for (const change of done.changes) context.io.out(lockChangeText(change))
      if (done.changes.length === 0) context.io.err('the lock already says so; nothing was written')
      else if (done.risk !== null) context.io.err(`its risk is ${done.risk}; commit the lock`)
    })
} // biome-ignore format: long lines

const APPROVE_HELP = `
Reads the server again and exits with 5, the lock untouched, when its definition is not the expected one. Example:
  cedargate tools approve files/read_file --expect 5f2b…`

function addLs(tools: Command, { io, admin }: Context): void {
  tools
    .command('ls')
    .description('list the tools that the running gateway sees')
    .option('--held', 'only those that are denied until they are reviewed')
    .addOption(formatOption())
    .action(async ({ held, format }: { held?: true; format: Format }) => {
      const path = held === true ? '/admin/v1/tools?held=true' : '/admin/v1/tools'
      const { tools: rows } = await (await admin()).get(path, z.object({ tools: z.array(toolRow) }))
      printRows(io, format, rows, COLUMNS, held === true ? 'no tool is held' : 'no tool was seen')
    })
}

const COLUMNS = [
  { title: 'STATE', of: (row: ToolRow) => row.state },
  { title: 'TOOL', of: (row: ToolRow) => `${row.server}/${row.tool}` },
  { title: 'SHA256', of: (row: ToolRow) => row.sha256.slice(0, 12) },
  { title: 'FIRST SEEN', of: (row: ToolRow) => row.firstSeen },
  { title: 'LAST SEEN', of: (row: ToolRow) => row.lastSeen },
]

function bundleOption(): Option {
  const where = 'default: CEDARGATE_BUNDLE, else this directory or its `policies`'
  return new Option('--bundle <dir>', `directory of the bundle (${where})`)
}

function placeOf({ config }: Context, server: string, { bundle }: Bundle): Place {
  return {
    bundle: bundleDirectory({ option: bundle, env: config.env }),
    server,
    env: { ...config.env, CEDARGATE_HOME: config.home },
    secret: undefined,
  }
}

/** On commands that read a live server. */
function withSecret(command: Command): Command {
  return withoutEcho(withSource(withKind(command)))
}

function isGiven({ header, env, bearer, basic, stdin, file }: Secret): boolean {
  return [header, env, bearer, basic, stdin, file].some((option) => option !== undefined)
}

/** With the secret that was given for this look. */
async function presenting({ io }: Context, place: Place, options: Secret): Promise<Place> {
  if (!isGiven(options)) return place
  const kind = kindOf(options)
  const value = await readSecret(requireSource(options), io)
  return { ...place, secret: checked(givenSecret, { ...kind, value }) }
}

async function placesOf(
  context: Context,
  named: readonly string[],
  options: Bundle,
): Promise<Place[]> {
  const { serversOf } = await import('../server-files.ts')
  const { bundle } = placeOf(context, '', options)
  const servers = named.length > 0 ? named : await serversOf(bundle)
  if (servers.length === 0) context.io.err(`${bundle} has no servers`)
  return servers.map((server) => placeOf(context, server, options))
}

/** Tool names may hold anything, `/` too; a server id holds none. */
function targetOf(target: string): { server: string; tool: string | undefined } {
  const slash = target.indexOf('/')
  if (slash === -1) return { server: target, tool: undefined }
  return { server: target.slice(0, slash), tool: target.slice(slash + 1) }
}

function expected(text: string): string {
  if (/^[0-9a-f]{64}$/.test(text) || text === 'removed') return text
  throw new InvalidArgumentError('64 hex digits as `cedargate tools diff` shows them, or `removed`')
}
