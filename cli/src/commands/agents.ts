// Owns `cedargate agents`: the agents that act for people or alone, their ceilings, and turning one off for everybody.
import type { Command } from 'commander'
import { z } from 'zod'
import { type AgentRequest, type AgentRow, agentRow } from '../../../schemas/admin-api.ts'
import type { Scope } from '../../../schemas/scopes.ts'
import { CommandError } from '../errors.ts'
import { type Format, printFields, printRows } from '../output.ts'
import { type Context, formatOption, scopeOption, shortScopes } from './context.ts'

type Shown = { format: Format }

export function addAgents(program: Command, { io, admin }: Context): void {
  const agents = program.command('agents').description('agents: ceilings, on and off')
  const put = async (id: string, change: AgentRequest, format: Format): Promise<void> => {
    const path = `/admin/v1/agents/${encodeURIComponent(id)}`
    printFields(io, format, await (await admin()).put(path, change, agentRow))
  }

  agents
    .command('ls')
    .description('list agents by id')
    .addOption(formatOption())
    .action(async ({ format }: Shown) => {
      const { agents: rows } = await (await admin()).get('/admin/v1/agents', page)
      printRows(io, format, rows, COLUMNS, 'no agents yet; `cedargate grants create` makes them')
    })

  agents
    .command('set')
    .description('make an agent, or change its ceiling')
    .argument('<id>', ID)
    .addOption(scopeOption('at most this, in all grants through it; repeat for more'))
    .option('--no-scope', 'nothing at all')
    .addOption(formatOption())
    .addHelpText('after', '\nExample:\n  cedargate agents set claude-code --scope mcp:read')
    .action(async (id: string, { scope, format }: Shown & { scope?: Scope[] | false }) => {
      if (scope === undefined) throw new CommandError('say its scopes: --scope <scope>')
      await put(id, { scopes: scope || [] }, format)
    })

  agents
    .command('disable')
    .description('refuse every grant through an agent, everywhere within a second')
    .argument('<id>', ID)
    .addOption(formatOption())
    .action(async (id: string, { format }: Shown) => put(id, { disabled: true }, format))

  agents
    .command('enable')
    .description('let a disabled agent speak again, with the grants it has')
    .argument('<id>', ID)
    .addOption(formatOption())
    .action(async (id: string, { format }: Shown) => put(id, { disabled: false }, format))
}

const ID = 'id of the agent, see `cedargate agents ls`'
const page = z.object({ agents: z.array(agentRow) })

const COLUMNS = [
  { title: 'ID', of: (row: AgentRow) => row.id },
  { title: 'SCOPES', of: (row: AgentRow) => shortScopes(row.scopes) },
  { title: 'GRANTS', of: (row: AgentRow) => String(row.grants) },
  { title: 'DISABLED', of: (row: AgentRow) => row.disabledAt ?? '' },
]
