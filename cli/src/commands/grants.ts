// Owns `cedargate grants`: who may speak through which agent to which servers, and until when.
import { type Command, Option } from 'commander'
import { z } from 'zod'
import {
  createdGrant,
  GRANT_STATES,
  type GrantRow,
  grantRow,
  revokedGrant,
} from '../../../schemas/admin-api.ts'
import { ROWS_PAGE_MAX } from '../../../schemas/limits.ts'
import { type Format, printFields, printPage } from '../output.ts'
import { queryOf } from '../query.ts'
import { type Context, formatOption, shortScopes, wholeNumber } from './context.ts'
import { addGrantsCreate, printCreated } from './grants-create.ts'

type ListOptions = {
  user?: string
  agent?: string
  server?: string
  state?: string
  limit: number
  before?: string
  format: Format
}
type Shown = { format: Format }

const page = z.object({ grants: z.array(grantRow) })

export function addGrants(program: Command, context: Context): void {
  const { io, admin } = context
  const grants = program.command('grants').description('what people and agents may speak with')
  addGrantsCreate(grants, context)

  grants
    .command('ls')
    .description('list grants, newest first')
    .option('--user <id>', 'only of this person')
    .option('--agent <id>', 'only through this agent')
    .option('--server <id>', 'only to this server')
    .addOption(new Option('--state <state>', 'only in this state').choices(GRANT_STATES))
    .option('--limit <n>', 'how many', wholeNumber(1, ROWS_PAGE_MAX), 200)
    .option('--before <id>', 'only older ones than this grant: the next page')
    .addOption(formatOption())
    .addHelpText('after', '\nExample:\n  cedargate grants ls --user carol --state active')
    .action(async ({ format, ...query }: ListOptions) => {
      const { grants: rows } = await (await admin()).get(`/admin/v1/grants?${queryOf(query)}`, page)
      const empty =
        Object.keys(query).length > 1
          ? 'no grants match'
          : 'no grants yet; see `cedargate grants create --help`'
      printPage(io, format, { rows, columns: COLUMNS, empty, limit: query.limit, next: '--before' })
    })

  grants
    .command('show')
    .description('show one grant whole')
    .argument('<id>', ID)
    .addOption(formatOption())
    .action(async (id: string, { format }: Shown) => {
      printFields(io, format, await (await admin()).get(pathOf(id), grantRow))
    })

  grants
    .command('rotate')
    .description('give a grant a new token; the old one ends at once, with what is open on it')
    .argument('<id>', ID)
    .addOption(formatOption())
    .action(async (id: string, { format }: Shown) => {
      const path = `${pathOf(id)}/rotate`
      printCreated(io, format, await (await admin()).post(path, {}, createdGrant))
    })

  grants
    .command('revoke')
    .description('revoke a grant; it is refused everywhere within a second')
    .argument('<id>', ID)
    .addOption(formatOption())
    .action(async (id: string, { format }: Shown) => {
      const revoked = await (await admin()).deleteFor(pathOf(id), revokedGrant)
      if (format === 'json') io.out(JSON.stringify(revoked, null, 2))
      else io.err(`grant ${revoked.id} is revoked`)
    })
}

const ID = 'id of the grant, see `cedargate grants ls`'

function pathOf(id: string): string {
  return `/admin/v1/grants/${encodeURIComponent(id)}`
}

const COLUMNS = [
  { title: 'ID', of: (row: GrantRow) => row.id },
  { title: 'USER', of: (row: GrantRow) => row.user ?? '' },
  { title: 'AGENT', of: (row: GrantRow) => row.agent },
  { title: 'SERVERS', of: (row: GrantRow) => row.servers.join(',') },
  { title: 'TEAMS', of: (row: GrantRow) => row.teams.join(',') },
  { title: 'SCOPES', of: (row: GrantRow) => shortScopes(row.scopes) },
  { title: 'TOKEN', of: tokenOf },
  { title: 'STATE', of: (row: GrantRow) => row.state },
  { title: 'EXPIRES', of: (row: GrantRow) => row.expiresAt.slice(0, 10) },
  { title: 'LAST USED', of: (row: GrantRow) => row.lastUsedAt ?? 'never' },
  { title: 'SOURCE', of: (row: GrantRow) => row.lastSource ?? '' },
]

/** What stands for the grant: the end of its token, or the client whose access tokens do. */
function tokenOf({ tokenLast4, client }: GrantRow): string {
  return client === null ? `…${tokenLast4 ?? ''}` : `client ${client.client}`
}
