// Owns `cedargate acts`: what operators did.
import type { Command } from 'commander'
import { z } from 'zod'
import { type ActRow, actRow } from '../../../schemas/admin-api.ts'
import { ROWS_PAGE_MAX } from '../../../schemas/limits.ts'
import { type Format, printPage } from '../output.ts'
import { queryOf } from '../query.ts'
import { type Context, formatOption, wholeNumber } from './context.ts'

type ListOptions = { by?: string; act?: string; limit: number; before?: string; format: Format }

const page = z.object({ acts: z.array(actRow) })

export function addActs(program: Command, { io, admin }: Context): void {
  program
    .command('acts')
    .description('what operators did')
    .command('ls')
    .description('list acts, newest first: who, what, and the status it was answered with')
    .option('--by <user>', 'only of this operator')
    .option('--act <name>', 'only of this kind')
    .option('--limit <n>', 'how many', wholeNumber(1, ROWS_PAGE_MAX), 50)
    .option('--before <id>', 'only older ones than this act: the next page')
    .addOption(formatOption())
    .action(async ({ format, ...query }: ListOptions) => {
      const { acts: rows } = await (await admin()).get(`/admin/v1/acts?${queryOf(query)}`, page)
      const empty = 'no acts match'
      printPage(io, format, { rows, columns: COLUMNS, empty, limit: query.limit, next: '--before' })
    })
}

const COLUMNS = [
  { title: 'AT', of: (row: ActRow) => row.at },
  { title: 'BY', of: (row: ActRow) => row.by },
  { title: 'ACT', of: (row: ActRow) => row.act },
  { title: 'STATUS', of: (row: ActRow) => row.status?.toString() ?? 'unknown' },
  { title: 'WHAT', of: (row: ActRow) => JSON.stringify(row.what) ?? '' },
  { title: 'ID', of: (row: ActRow) => row.id },
]
