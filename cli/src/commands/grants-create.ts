// Owns `cedargate grants create`: a grant with a token, or one for which access tokens of a client stand.
import type { Command } from 'commander'
import {
  type CreatedGrant,
  createdGrant,
  type GrantRow,
  grantRow,
} from '../../../schemas/admin-api.ts'
import { GRANT_LIFETIME_DEFAULT, GRANT_LIFETIME_MS_MAX } from '../../../schemas/limits.ts'
import type { Scope } from '../../../schemas/scopes.ts'
import { parseDuration } from '../duration.ts'
import { CommandError } from '../errors.ts'
import type { Format, Terminal } from '../output.ts'
import { type Context, collect, formatOption, scopeOption } from './context.ts'

type CreateOptions = {
  user?: string
  nobody?: true
  agent?: string
  server?: string[]
  scope?: Scope[]
  team?: string[]
  client?: string
  issuer?: string
  expires: string
  format: Format
}

export function addGrantsCreate(grants: Command, { io, admin }: Context): void {
  grants
    .command('create')
    .description('create a grant and show its token, once')
    .option('--user <id>', 'the person; made if missing')
    .option('--nobody', 'for an agent that acts for no person')
    .option('--agent <id>', 'the agent, e.g. claude-code; made if missing')
    .option('--server <id>', 'a server of the bundle; repeat for more', collect)
    .addOption(scopeOption('at most this; repeat for more. Default: all'))
    .option('--team <id>', 'add the person to this team; repeat for more', collect)
    .option('--expires <duration>', 'how long it lives: 30m, 12h, 90d', GRANT_LIFETIME_DEFAULT)
    .option('--client <id>', 'no token: the access tokens that this client of --issuer gets')
    .option('--issuer <url>', 'with --client: an issuer of gateway.yaml')
    .addOption(formatOption())
    .addHelpText('after', CREATE_HELP)
    .action(async (options: CreateOptions) => {
      const { format } = options
      if (options.client !== undefined || options.issuer !== undefined) {
        const request = clientGrant(options)
        const row = await (await admin()).post('/admin/v1/client-grants', request, grantRow)
        return printClientGrant(io, format, row)
      }
      const request = tokenGrant(options)
      printCreated(
        io,
        format,
        await (await admin()).post('/admin/v1/grants', request, createdGrant),
      )
    })
}

/** The token alone on stdout, so that a script can take it. */
export function printCreated(io: Terminal, format: Format, created: CreatedGrant): void {
  if (format === 'json') return io.out(JSON.stringify(created, null, 2))
  const { id, token, user, agent, expiresAt } = created
  io.out(token)
  io.err(`grant ${id} for ${user ?? 'nobody'} through ${agent}, until ${expiresAt}`)
  io.err('the token is shown this once; revoke it with `cedargate grants revoke <id>`')
}

function printClientGrant(io: Terminal, format: Format, row: GrantRow): void {
  if (format === 'json') return io.out(JSON.stringify(row, null, 2))
  const { id, user, agent, client, expiresAt } = row
  io.err(`grant ${id} for ${user ?? 'nobody'} through ${agent}, until ${expiresAt}`)
  io.err(`access tokens of client ${client?.client ?? ''} stand for it; there is no token to show`)
}

function tokenGrant(options: CreateOptions) {
  const { user, nobody, agent, server, scope, team, expires } = options
  if ((user === undefined) === (nobody === undefined))
    throw new CommandError('say whose it is: --user <id>, or --nobody for an agent on its own')
  if (agent === undefined) throw new CommandError('say which agent: --agent <id>')
  if (server === undefined) throw new CommandError('say to which server: --server <id>')
  if (nobody && team !== undefined) throw new CommandError('--team is for a --user')
  return {
    user: user ?? null,
    agent,
    servers: server,
    ...(team === undefined ? {} : { teams: team }),
    ...(scope === undefined ? {} : { scopes: scope }),
    expiresInMs: lifetime(expires),
  }
}

function clientGrant(options: CreateOptions) {
  const { client, issuer, user, expires, nobody, agent, server, scope, team } = options
  if (client === undefined || issuer === undefined)
    throw new CommandError('--client and --issuer belong together')
  if (user === undefined) throw new CommandError('say whose it is: --user <id>')
  if ([nobody, agent, server, scope, team].some((given) => given !== undefined)) {
    throw new CommandError('with --client only --user, --issuer and --expires are given', {
      hint: 'agent, servers and scopes of a client stand in gateway.yaml',
    })
  }
  return { user, issuer, client, expiresInMs: lifetime(expires) }
}

function lifetime(text: string): number {
  const ms = parseDuration(text)
  if (ms <= GRANT_LIFETIME_MS_MAX) return ms
  throw new CommandError(`--expires ${text} is longer than a grant may live`, {
    hint: 'at most 366d',
  })
}

const CREATE_HELP = `
Examples:
  cedargate grants create --user carol --agent codex --server files --team engineering
  cedargate grants create --user carol --agent codex --server files --scope mcp:read --expires 7d
  cedargate grants create --nobody --agent nightly-report --server files --scope mcp:read
  cedargate grants create --user carol --client portal --issuer https://login.example.com
A scope is a ceiling: what a call may do is what policy permits within the scopes of user, agent and grant, all three.`
