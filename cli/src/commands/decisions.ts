// Owns `cedargate decisions`: what was decided, by which policies, and how it ended.
import type { Command } from 'commander'
import { z } from 'zod'
import { type DecisionRow, decisionRow } from '../../../schemas/decisions-api.ts'
import { DECISIONS_PAGE_MAX, RECORD_TIMEOUT_MS } from '../../../schemas/limits.ts'
import { uuidV7 } from '../../../schemas/uuid.ts'
import type { AdminClient } from '../admin-client.ts'
import { type Format, printable, printFields, printRows, type Terminal } from '../output.ts'
import { queryOf } from '../query.ts'
import { type Context, formatOption, wholeNumber } from './context.ts'

type Filters = {
  user?: string
  agent?: string
  server?: string
  tool?: string
  verdict?: string
  code?: string
}
type ListOptions = Filters & { limit: number; before?: string; format: Format }

/** Where argument values are not printed they are not asked for: showing them to an auditor is recorded. */
const NO_ARGUMENTS = { arguments: 'false' } as const
/** How often `tail` asks for what is new. */
const TAIL_INTERVAL_MS = 500
const page = z.object({ decisions: z.array(decisionRow) })

export function addDecisions(program: Command, { io, admin }: Context): void {
  const decisions = program
    .command('decisions')
    .description('what was decided, and by which policies')

  withFilters(decisions.command('ls'))
    .description('list decisions, newest first')
    .option('--limit <n>', 'how many', wholeNumber(1, DECISIONS_PAGE_MAX), 50)
    .option('--before <id>', 'only older ones than this decision: the next page')
    .addOption(formatOption())
    .action(async ({ format, ...query }: ListOptions) => {
      const asked = queryOf({ ...query, ...(format === 'json' ? {} : NO_ARGUMENTS) })
      const answer = await (await admin()).get(`/admin/v1/decisions?${asked}`, page)
      printRows(io, format, answer.decisions, COLUMNS, 'no decisions match')
    })

  decisions
    .command('show')
    .description('show one decision whole')
    .argument('<id>', 'id of the decision, as a refusal names it')
    .addOption(formatOption())
    .action(async (id: string, { format }: { format: Format }) => {
      const found = await (await admin()).get(
        `/admin/v1/decisions/${encodeURIComponent(id)}`,
        decisionRow,
      )
      printFields(io, format, found)
    })

  withFilters(decisions.command('tail'))
    .description('follow decisions as they are made; end with Ctrl-C')
    .addOption(formatOption())
    .action(async ({ format, ...filters }: Filters & { format: Format }) => {
      await tail(io, await admin(), format, filters)
    })
}

/**
 * Decisions are written up to RECORD_TIMEOUT_MS after their ids were coined, and not in the order of their ids: each
 * pass looks that far back again. One that its PDP wrote in place of its PEP, later still, shows in `ls` alone.
 */
const TAIL_OVERLAP_MS = RECORD_TIMEOUT_MS + 1_000

async function tail(
  io: Terminal,
  admin: AdminClient,
  format: Format,
  filters: Filters,
): Promise<never> {
  const { decisions } = await admin.get(
    `/admin/v1/decisions?${queryOf({ limit: 1, ...NO_ARGUMENTS })}`,
    page,
  )
  let newest = timeOf(decisions[0])
  let known: ReadonlySet<string> | undefined
  for (;;) {
    const rows = await since(admin, filters, Math.max(0, newest - TAIL_OVERLAP_MS))
    for (const row of rows) if (known?.has(row.id) === false) io.out(tailLine(row, format))
    known = new Set(rows.map(({ id }) => id))
    // A row with an id of the future, which no PDP wrote, must not hide those that come.
    newest = Math.min(Date.now(), Math.max(newest, timeOf(rows.at(-1))))
    await new Promise((resolve) => setTimeout(resolve, TAIL_INTERVAL_MS))
  }
}

function timeOf(row: DecisionRow | undefined): number {
  return row === undefined ? 0 : Date.parse(row.at)
}

/** All decisions of `time` (ms since 1970) and later, oldest first. */
async function since(admin: AdminClient, filters: Filters, time: number): Promise<DecisionRow[]> {
  const found: DecisionRow[] = []
  let after = uuidV7(time, 0, new Uint8Array(8))
  for (;;) {
    const query = queryOf({ ...filters, after, limit: DECISIONS_PAGE_MAX, ...NO_ARGUMENTS })
    const { decisions } = await admin.get(`/admin/v1/decisions?${query}`, page)
    found.push(...decisions)
    if (decisions.length < DECISIONS_PAGE_MAX) return found
    after = decisions.at(-1)?.id ?? after
  }
}

function tailLine(row: DecisionRow, format: Format): string {
  if (format === 'json') return JSON.stringify(row)
  return COLUMNS.map(({ of }) => printable(of(row))).join('  ')
}

function withFilters(command: Command): Command {
  return command
    .option('--user <id>', 'only of this person')
    .option('--agent <id>', 'only through this agent')
    .option('--server <id>', 'only on this server')
    .option('--tool <name>', 'only of this tool')
    .option('--verdict <verdict>', 'allow or deny')
    .option('--code <code>', 'only with this code, e.g. no_permit')
}

const COLUMNS = [
  { title: 'AT', of: (row: DecisionRow) => row.at },
  { title: 'VERDICT', of: (row: DecisionRow) => row.verdict },
  { title: 'CODE', of: (row: DecisionRow) => row.code },
  { title: 'USER', of: (row: DecisionRow) => row.user ?? '' },
  { title: 'AGENT', of: (row: DecisionRow) => row.agent },
  {
    title: 'CALL',
    of: (row: DecisionRow) =>
      `${row.server} ${row.method}${row.tool === null ? '' : ` ${row.tool}`}`,
  },
  { title: 'POLICIES', of: (row: DecisionRow) => row.policies.join(',') },
  { title: 'ID', of: (row: DecisionRow) => row.id },
]
