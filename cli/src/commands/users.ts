// Owns `cedargate users`: the people, their teams, ceilings and roles, and their leaving.
import type { Command } from 'commander'
import { z } from 'zod'
import { offboarded, type UserRequest, type UserRow, userRow } from '../../../schemas/admin-api.ts'
import { ROWS_PAGE_MAX } from '../../../schemas/limits.ts'
import { OPERATOR_ROLES } from '../../../schemas/roles.ts'
import type { Scope } from '../../../schemas/scopes.ts'
import { CommandError } from '../errors.ts'
import { type Format, printFields, printPage } from '../output.ts'
import { queryOf } from '../query.ts'
import {
  type Context,
  collect,
  formatOption,
  scopeOption,
  shortScopes,
  wholeNumber,
} from './context.ts'

type AddOptions = {
  team?: string[] | false
  scope?: Scope[] | false
  issuer?: string
  subject?: string
  format: Format
}
type ListOptions = { team?: string; limit: number; after?: string; format: Format }
type Link = NonNullable<UserRow['link']>
type Shown = { format: Format }

const page = z.object({ users: z.array(userRow) })

export function addUsers(program: Command, { io, admin }: Context): void {
  const users = program.command('users').description('people: teams, ceilings, roles, leaving')

  users
    .command('add')
    .description('make a user, or change what is named here')
    .argument('<id>', 'how policies and records name them')
    .option('--team <id>', 'in this team, and no other an operator gave; repeat for more', collect)
    .option('--no-team', 'in none that an operator gave')
    .addOption(scopeOption('at most this, in all their grants; repeat for more'))
    .option('--no-scope', 'nothing at all')
    .option(
      '--issuer <url>',
      'who they are at this identity provider, which you vouch for; set once',
    )
    .option('--subject <sub>', 'their `sub` there')
    .addOption(formatOption())
    .addHelpText('after', ADD_HELP)
    .action(async (id: string, { format, ...options }: AddOptions) => {
      printFields(io, format, await (await admin()).put(pathOf(id), userChange(options), userRow))
    })

  users
    .command('ls')
    .description('list users by id')
    .option('--team <id>', 'only of this team')
    .option('--limit <n>', 'how many', wholeNumber(1, ROWS_PAGE_MAX), 200)
    .option('--after <id>', 'only those behind this one: the next page')
    .addOption(formatOption())
    .action(async ({ format, ...query }: ListOptions) => {
      const { users: rows } = await (await admin()).get(`/admin/v1/users?${queryOf(query)}`, page)
      const empty = 'no users; see `cedargate users add --help`'
      printPage(io, format, { rows, columns: COLUMNS, empty, limit: query.limit, next: '--after' })
    })

  users
    .command('show')
    .description('show one user whole')
    .argument('<id>', ID)
    .addOption(formatOption())
    .action(async (id: string, { format }: Shown) => {
      printFields(io, format, await (await admin()).get(pathOf(id), userRow))
    })

  addLeaving(users, io, admin)
  addLinks(users, io, admin)
  addRoles(users, io, admin)
}

function addLeaving(users: Command, io: Context['io'], admin: Context['admin']): void {
  users
    .command('offboard')
    .description('end all grants and login sessions of a person, in one step; nobody else’s')
    .argument('<id>', ID)
    .addOption(formatOption())
    .addHelpText(
      'after',
      '\nUsers who sign in again are refused, until `cedargate users reinstate`.',
    )
    .action(async (id: string, { format }: Shown) => {
      const ended = await (await admin()).post(`${pathOf(id)}/offboard`, {}, offboarded)
      if (format === 'json') return io.out(JSON.stringify(ended, null, 2))
      const { user, grants, sessions, offboardedAt } = ended
      io.err(`${user} is offboarded since ${offboardedAt}`)
      io.err(`ended now: ${grants.length} grants, ${sessions} login sessions`)
      for (const grant of grants) io.out(grant)
    })

  users
    .command('reinstate')
    .description('let an offboarded user in again; what was ended stays ended')
    .argument('<id>', ID)
    .addOption(formatOption())
    .addHelpText('after', `\n${REGRANT_HELP}`)
    .action(async (id: string, { format }: Shown) => {
      const user = await (await admin()).post(`${pathOf(id)}/reinstate`, {}, userRow)
      printFields(io, format, user)
      if (format !== 'json' && user.link !== null) io.err(regrantHint(user.id, user.link))
    })
}

function addLinks(users: Command, io: Context['io'], admin: Context['admin']): void {
  users
    .command('unlink')
    .description('forget who a user is at the identity provider, and end all that came by that')
    .argument('<id>', ID)
    .addOption(formatOption())
    .addHelpText('after', UNLINK_HELP)
    .action(async (id: string, { format }: Shown) => {
      printFields(io, format, await (await admin()).deleteFor(`${pathOf(id)}/link`, userRow))
    })
}

function addRoles(users: Command, io: Context['io'], admin: Context['admin']): void {
  users
    .command('roles')
    .description('say what a user may do as an operator; these roles and no others')
    .argument('<id>', ID)
    .argument('[role...]', OPERATOR_ROLES.join(', '))
    .option('--none', 'take all away')
    .addOption(formatOption())
    .addHelpText('after', ROLES_HELP)
    .action(async (id: string, roles: string[], { none, format }: Shown & { none?: true }) => {
      if ((roles.length === 0) !== (none === true))
        throw new CommandError('name the roles, or --none')
      const path = `${pathOf(id)}/roles`
      printFields(io, format, await (await admin()).put(path, { roles }, userRow))
    })
}

function userChange({ team, scope, issuer, subject }: Omit<AddOptions, 'format'>): UserRequest {
  if ((issuer === undefined) !== (subject === undefined))
    throw new CommandError('--issuer and --subject belong together')
  return {
    ...(team === undefined ? {} : { teams: team || [] }),
    ...(scope === undefined ? {} : { scopes: scope || [] }),
    ...(issuer === undefined || subject === undefined ? {} : { link: { issuer, subject } }),
  }
}

const ID = 'id of the user, see `cedargate users ls`'

function pathOf(id: string): string {
  return `/admin/v1/users/${encodeURIComponent(id)}`
}

const COLUMNS = [
  { title: 'ID', of: (row: UserRow) => row.id },
  { title: 'TEAMS', of: (row: UserRow) => [...new Set([...row.teams, ...row.claimTeams])].join(',') },
  { title: 'SCOPES', of: (row: UserRow) => shortScopes(row.scopes) },
  { title: 'ROLES', of: (row: UserRow) => row.roles.join(',') },
  { title: 'GRANTS', of: (row: UserRow) => String(row.grants) },
  { title: 'SESSIONS', of: (row: UserRow) => String(row.sessions) },
  { title: 'LINKED TO', of: linkedTo },
  { title: 'OFFBOARDED', of: (row: UserRow) => row.offboardedAt ?? '' },
] // biome-ignore format: one column a line

/** Whoever came with access tokens does not come again by them alone. */
function regrantHint(id: string, { issuer, vouched }: Link): string {
  const first = vouched ? '' : `\`cedargate users add ${id} --issuer … --subject …\`, then `
  const create = `cedargate grants create --client <client> --issuer ${issuer} --user ${id}`
  return `their grants of clients stay revoked; to give one back: ${first}\`${create}\``
}

function linkedTo({ link }: UserRow): string {
  if (link === null) return ''
  return link.vouched ? link.issuer : `${link.issuer} (not vouched for)`
}

/** Grants of clients that were revoked are made anew by an admin alone, not by a first use. */
const REGRANT_HELP = `Grants of clients stay revoked, until
\`cedargate grants create --client <client> --issuer <url> --user <id>\` for somebody who is vouched for.`

const ADD_HELP = `
Examples:
  cedargate users add carol --team engineering --team payments
  cedargate users add carol --scope mcp:read
  cedargate users add carol --issuer https://login.example.com --subject 00u1a2b3c4
A user whom the identity provider would make under an id that is taken is refused until an operator links the two so.
Whom the identity provider made is not vouched for, and is given no teams, scopes, roles or grants of clients beyond what
they have, until an operator names their issuer and subject so (\`users show\` has both).`

const UNLINK_HELP = `
Ends their login sessions, what their claims gave and the grants of clients; grants with a token of their own stay. Whoever
it was is refused under this id from then on: to keep a person out, offboard them and do not unlink.
\`cedargate users add <id> --issuer … --subject …\` says who the user is. ${REGRANT_HELP}`

const ROLES_HELP = `
Example:
  cedargate users roles carol viewer approver
Groups of the identity provider may give roles too (the login file of the PDP); those are not set here.`
