// Owns `cedargate bundles`: what decides, what decided before, and going back to it.
import type { Command } from 'commander'
import { z } from 'zod'
import type { PrintedContent } from '../../../pdp/src/bundle/content.ts'
import {
  type BundleRow,
  type BundleState,
  bundleRow,
  bundleState,
} from '../../../schemas/admin-api.ts'
import { EXIT } from '../../../schemas/codes.ts'
import type { AdminClient } from '../admin-client.ts'
import { CommandError } from '../errors.ts'
import { type Format, printable, printRows, type Terminal } from '../output.ts'
import { type Context, formatOption } from './context.ts'

const listed = z.strictObject({ state: bundleState, bundles: z.array(bundleRow) })
const pinned = z.strictObject({ state: bundleState })
type Listed = z.infer<typeof listed>

const ID = 'id of the bundle or its beginning, `active`, or `previous`'

export function addBundles(program: Command, { io, admin }: Context): void {
  const bundles = program
    .command('bundles')
    .description('the policy bundle that decides, and those before it')

  bundles
    .command('ls')
    .description('list every bundle that was ever active, the last activated first')
    .addOption(formatOption())
    .action(async ({ format }: { format: Format }) => {
      const { state, bundles: rows } = await list(await admin())
      printRows(io, format, rows, COLUMNS, 'no bundle was ever active')
      if (format === 'text') sayState(io, state)
    })

  bundles
    .command('show')
    .description('show what a bundle is made of: policies, servers, tools')
    .argument('[id]', ID, 'active')
    .addOption(formatOption())
    .action(async (id: string, { format }: { format: Format }) => {
      const client = await admin()
      const answer = await list(client)
      const row = resolve(answer, id)
      if (format === 'json') {
        return io.out(JSON.stringify(await contentOf(client, row.id), null, 2))
      }
      showContent(io, row, await printed(client, row.id))
    })

  bundles
    .command('diff')
    .description('what two bundles differ in; exit 5 when they do')
    .argument('<id>', ID)
    .argument('[id]', ID, 'active')
    .addOption(formatOption())
    .action(async (from: string, to: string, { format }: { format: Format }) => {
      const client = await admin()
      const answer = await list(client)
      const [before, after] = [resolve(answer, from), resolve(answer, to)]
      const { differences } = await import('../../../pdp/src/bundle/difference.ts')
      const [old, now] = [await printed(client, before.id), await printed(client, after.id)]
      const found = differences(old, now)
      if (format === 'json') io.out(JSON.stringify(found, null, 2))
      else for (const one of found) sayDifference(io, one)
      if (found.length === 0) return io.err('they are the same')
      throw new CommandError(`${found.length} differences`, { exit: EXIT.drift })
    })

  bundles
    .command('activate')
    .description('hold every PDP at a stored bundle (roll back), whatever its source says')
    .argument('[id]', ID)
    .option('--follow', 'let every PDP follow its source again')
    .addOption(formatOption())
    .addHelpText('after', ACTIVATE_HELP)
    .action(async (id: string | undefined, options: { follow?: true; format: Format }) => {
      const client = await admin()
      const { state } = await activate(client, id, options.follow === true)
      if (options.format === 'json') return io.out(JSON.stringify(state, null, 2))
      sayState(io, state)
    })
}

async function activate(client: AdminClient, id: string | undefined, follow: boolean) {
  if (follow === (id !== undefined)) {
    throw new CommandError('name one bundle, or use --follow', { hint: 'cedargate bundles ls' })
  }
  if (id === undefined) return client.deleteFor('/admin/v1/bundles/pin', pinned)
  const row = resolve(await list(client), id)
  return client.post(`/admin/v1/bundles/${row.id}/pin`, {}, pinned)
}

function list(client: AdminClient): Promise<Listed> {
  return client.get('/admin/v1/bundles', listed)
}

function contentOf(client: AdminClient, id: string): Promise<unknown> {
  return client.get(`/admin/v1/bundles/${id}`, z.unknown())
}

/** The one bundle that `text` means. Throws CommandError when that is none or several. */
function resolve({ state, bundles }: Listed, text: string): BundleRow {
  const wanted =
    text === 'previous'
      ? bundles.filter(({ id }) => id !== state.id).slice(0, 1)
      : bundles.filter(
          ({ id }) => text !== '' && id.startsWith(text === 'active' ? state.id : text),
        )
  const [found, other] = wanted
  if (found === undefined) {
    throw new CommandError(`no bundle \`${text}\` was ever active`, {
      hint: 'cedargate bundles ls',
    })
  }
  if (other === undefined) return found
  throw new CommandError(`\`${text}\` is the beginning of several bundles`)
}

/** With each policy as Cedar prints it. */
async function printed(client: AdminClient, id: string): Promise<PrintedContent> {
  const { printContent, readContent } = await import('../../../pdp/src/bundle/content.ts')
  return printContent(readContent(JSON.stringify(await contentOf(client, id))))
}

function showContent(
  io: Terminal,
  row: BundleRow,
  { base, policies, servers }: PrintedContent,
): void {
  io.out(`bundle   ${row.id}`)
  io.out(`source   ${row.source ?? ''}${row.commit === null ? '' : `  commit ${row.commit}`}`)
  const last = row.lastActiveAt === null ? '' : `, last on ${row.lastActiveAt}`
  io.out(`active   ${row.active ? 'now' : 'no'}; first activated on ${row.firstActiveAt}${last}`)
  for (const [id, { lock }] of Object.entries(servers)) {
    const { tools } = lock as { tools: unknown[] }
    io.out(`server   ${id}  ${tools.length} tools`)
  }
  if (Object.keys(base).length > 0) io.out(`base     ${Object.keys(base).join(', ')}`)
  for (const text of Object.values(policies)) io.out(`\n${linesOf(text).join('\n')}`)
}

function sayState(
  io: Terminal,
  { id, source, commit, pinned: held, stale, problem }: BundleState,
): void {
  const from = `${source}${commit === null ? '' : ` at commit ${commit.slice(0, 12)}`}`
  io.err(`${id.slice(0, 12)} decides${held ? ', held by an operator' : ''}, from ${from}`)
  if (stale) io.err('it is too old: every call is denied with stale_bundle')
  if (problem !== null) io.err(`the source holds another one that is refused:\n${problem.message}`)
}

function sayDifference(
  io: Terminal,
  {
    change,
    what,
    before,
    after,
  }: { change: string; what: string; before: string | null; after: string | null },
): void {
  io.out(`${change.padEnd(8)} ${printable(what)}`)
  for (const line of linesOf(before)) io.out(`  - ${line}`)
  for (const line of linesOf(after)) io.out(`  + ${line}`)
}

/** A text on lines of its own, each with what is hidden made visible. */
function linesOf(text: string | null): string[] {
  return text === null ? [] : text.split('\n').map(printable)
}

const ACTIVATE_HELP = `
The bundle is held on every PDP of the database until --follow, or until another one is activated. Examples:
  cedargate bundles activate previous     the one before, at 3 a.m.
  cedargate bundles activate --follow     what the source says, again`

const COLUMNS = [
  { title: 'ID', of: (row: BundleRow) => row.id.slice(0, 12) },
  { title: 'STATE', of: (row: BundleRow) => (row.active ? (row.pinned ? 'held' : 'active') : '') },
  { title: 'FIRST ACTIVATED', of: (row: BundleRow) => row.firstActiveAt },
  { title: 'LAST ACTIVATED', of: (row: BundleRow) => row.lastActiveAt ?? '' },
  { title: 'COMMIT', of: (row: BundleRow) => row.commit?.slice(0, 12) ?? '' },
  { title: 'SOURCE', of: (row: BundleRow) => row.source ?? '' },
]
