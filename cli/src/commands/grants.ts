// Owns `cedargate grants`: who may speak through which agent to which servers, and until when.
import type { Command } from 'commander'
import { z } from 'zod'
import { createdGrant, type GrantRow, grantRow } from '../../../schemas/admin-api.ts'
import { GRANT_LIFETIME_DEFAULT, GRANT_LIFETIME_MS_MAX } from '../../../schemas/limits.ts'
import { parseDuration } from '../duration.ts'
import { CommandError } from '../errors.ts'
import { printRows } from '../output.ts'
import { type Context, collect, formatOption } from './context.ts'

type CreateOptions = {
  user: string
  agent: string
  server: string[]
  team: string[]
  expires: string
  format: 'text' | 'json'
}

export function addGrants(program: Command, { io, admin }: Context): void {
  const grants = program.command('grants').description('tokens of people and their agents')

  grants
    .command('create')
    .description('create a grant and show its token, once')
    .requiredOption('--user <id>', 'the person; made if missing')
    .requiredOption('--agent <id>', 'the agent that acts for them, e.g. claude-code')
    .requiredOption('--server <id>', 'a server of the bundle; repeat for more', collect)
    .option('--team <id>', 'add the person to this team; repeat for more', collect, [])
    .option('--expires <duration>', 'how long it lives: 30m, 12h, 90d', GRANT_LIFETIME_DEFAULT)
    .addOption(formatOption())
    .addHelpText(
      'after',
      '\nExample:\n  cedargate grants create --user carol --agent codex --server files --team engineering',
    )
    .action(async ({ user, agent, server, team, expires, format }: CreateOptions) => {
      const request = {
        user,
        agent,
        servers: server,
        teams: team,
        expiresInMs: lifetime(expires),
      }
      const created = await (await admin()).post('/admin/v1/grants', request, createdGrant)
      if (format === 'json') return io.out(JSON.stringify(created, null, 2))
      io.out(created.token)
      io.err(`grant ${created.id} for ${user} through ${agent}, until ${created.expiresAt}`)
      io.err('the token is shown this once; revoke it with `cedargate grants revoke <id>`')
    })

  grants
    .command('ls')
    .description('list grants, newest first')
    .addOption(formatOption())
    .action(async ({ format }: Pick<CreateOptions, 'format'>) => {
      const answer = await (await admin()).get(
        '/admin/v1/grants',
        z.object({ grants: z.array(grantRow) }),
      )
      printRows(
        io,
        format,
        answer.grants,
        COLUMNS,
        'no grants yet; see `cedargate grants create --help`',
      )
    })

  grants
    .command('revoke')
    .description('revoke a grant; it is refused everywhere within a second')
    .argument('<id>', 'id of the grant, see `cedargate grants ls`')
    .action(async (id: string) => {
      await (await admin()).delete(`/admin/v1/grants/${encodeURIComponent(id)}`)
      io.err(`grant ${id} is revoked`)
    })
}

function lifetime(text: string): number {
  const ms = parseDuration(text)
  if (ms <= GRANT_LIFETIME_MS_MAX) return ms
  throw new CommandError(`--expires ${text} is longer than a grant may live`, {
    hint: 'at most 366d',
  })
}

const COLUMNS = [
  { title: 'ID', of: (row: GrantRow) => row.id },
  { title: 'USER', of: (row: GrantRow) => row.user },
  { title: 'AGENT', of: (row: GrantRow) => row.agent },
  { title: 'SERVERS', of: (row: GrantRow) => row.servers.join(',') },
  { title: 'TEAMS', of: (row: GrantRow) => row.teams.join(',') },
  { title: 'TOKEN', of: (row: GrantRow) => `…${row.tokenLast4}` },
  { title: 'EXPIRES', of: (row: GrantRow) => row.expiresAt },
  { title: 'REVOKED', of: (row: GrantRow) => row.revokedAt ?? '' },
]
