// Owns what lists would show a caller now, so that a PEP can tell open clients when that changes. Asks the same core as
// a list itself; decides nothing, records nothing, reserves nothing.
import type { ListRequest, Visible } from '../../../schemas/pep-api.ts'
import type { Authorization, AuthorizationRequest } from '../authorize/types.ts'
import type { Grant } from '../identity/grant.ts'
import type { ResolveGrants } from '../identity/resolve.ts'
import type { DecidePorts, Enforcer } from './decide.ts'

/**
 * Per caller, in order; null for a grant that is not in force, a server that is not granted or that this PEP is not
 * enrolled for, and whoever may not connect. Policies see no source address and the modern era: what depends on
 * either may be shown otherwise to a client that asks. Throws when the engine or a wrong clock leaves an answer open: that is no
 * change.
 */
export type List = (pep: Enforcer, callers: ListRequest['callers']) => Promise<(Visible | null)[]>

/** Templates are shown as resources are. */
const LISTS = ['tools/list', 'resources/list', 'prompts/list'] as const

type ListPorts = Pick<DecidePorts, 'active' | 'clock'> & { readonly resolveById: ResolveGrants }

export function createList(ports: ListPorts): List {
  return async function list(pep, callers) {
    const { bundle, authorizer } = ports.active()
    const grants = await ports.resolveById(callers.map(({ grant }) => grant))
    const time = ports.clock.now()
    const shown: (Visible | null)[] = []
    // One at a time: calls come in between, and no batch is more than the engine answers in its time.
    for (const { grant: id, server } of callers) {
      const grant = grants.get(id)
      const known = bundle.servers.has(server) && pep.servers.includes(server)
      if (grant === undefined || !known || !grant.servers.includes(server)) shown.push(null)
      else shown.push(visibleIn(await authorizer.authorize(requestsOf(grant, server, time))))
    }
    return shown
  }
}

function requestsOf(grant: Grant, server: string, time: number): AuthorizationRequest[] {
  const { id, user, agent, teams, scopes, expiresAt } = grant
  return LISTS.map((method) => ({
    user,
    teams,
    agent,
    grant: { id, expiresAt },
    scopes,
    server,
    from: 'client',
    method,
    params: undefined,
    definition: null,
    definitionRequired: true,
    time,
    era: 'modern',
    sourceIp: null,
  }))
}

function visibleIn(answers: readonly Authorization[]): Visible | null {
  const open = answers.find(({ code }) => code === 'engine_fault' || code === 'clock_fault')
  if (open !== undefined) throw new Error(`a list was left open: ${open.code}`)
  const lists = answers.flatMap(({ visible }) => visible ?? [])
  if (lists.length === 0) return null
  return {
    tools: lists.flatMap(({ tools }) => tools),
    resources: lists.some(({ resources }) => resources),
    prompts: lists.some(({ prompts }) => prompts),
  }
}
