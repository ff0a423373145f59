// Owns `cedargate decisions`: what was decided, by which policies, and how it ended.
import type { Command } from 'commander'
import { z } from 'zod'
import { type DecisionRow, decisionRow } from '../../../schemas/admin-api.ts'
import { DECISIONS_PAGE_MAX } from '../../../schemas/limits.ts'
import type { AdminClient } from '../admin-client.ts'
import { type Format, printable, printRows, type Terminal } from '../output.ts'
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
      const answer = await (await admin()).get(`/admin/v1/decisions?${search(query)}`, page)
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
      if (format === 'json') return io.out(JSON.stringify(found, null, 2))
      for (const [name, value] of Object.entries(found))
        io.out(`${name.padEnd(10)} ${plain(value)}`)
    })

  withFilters(decisions.command('tail'))
    .description('follow decisions as they are made; end with Ctrl-C')
    .addOption(formatOption())
    .action(async ({ format, ...filters }: Filters & { format: Format }) => {
      await tail(io, await admin(), format, filters)
    })
}

async function tail(
  io: Terminal,
  admin: AdminClient,
  format: Format,
  filters: Filters,
): Promise<never> {
  const newest = await admin.get(`/admin/v1/decisions?${search({ limit: 1 })}`, page)
  let after = newest.decisions[0]?.id ?? '00000000-0000-7000-8000-000000000000'
  for (;;) {
    const query = search({ ...filters, after, limit: DECISIONS_PAGE_MAX })
    const { decisions } = await admin.get(`/admin/v1/decisions?${query}`, page)
    for (const row of decisions) {
      io.out(
        format === 'json'
          ? JSON.stringify(row)
          : COLUMNS.map(({ of }) => printable(of(row))).join('  '),
      )
    }
    after = decisions.at(-1)?.id ?? after
    await new Promise((resolve) => setTimeout(resolve, TAIL_INTERVAL_MS))
  }
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

function search(query: Record<string, string | number | undefined>): URLSearchParams {
  const given = Object.entries(query).flatMap(([key, value]) =>
    value === undefined ? [] : [[key, String(value)] as [string, string]],
  )
  return new URLSearchParams(given)
}

function plain(value: unknown): string {
  return printable(typeof value === 'string' ? value : JSON.stringify(value))
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
