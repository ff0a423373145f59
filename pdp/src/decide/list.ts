// Owns what lists would show a caller now, so that a PEP can tell open clients when that changes. Asks the same core as
// a list itself; decides nothing, records nothing, reserves nothing.
import type { ListRequest, Visible } from '../../../schemas/pep-api.ts'
import type { Authorization, AuthorizationRequest } from '../authorize/types.ts'
import type { Grant } from '../identity/grants.ts'
import type { DecidePorts, Enforcer } from './decide.ts'

/**
 * Per caller, in order; null for a token that is not in force, a server that is not granted or that this PEP is not
 * enrolled for, and whoever may not connect. Policies see no source address and the modern era: what depends on
 * either may be shown otherwise to a client that asks. Throws when the engine leaves an answer open: that is no change.
 */
export type List = (pep: Enforcer, callers: ListRequest['callers']) => Promise<(Visible | null)[]>

/** Templates are shown as resources are. */
const LISTS = ['tools/list', 'resources/list', 'prompts/list'] as const

export function createList(ports: Pick<DecidePorts, 'active' | 'resolveGrants' | 'clock'>): List {
  return async function list(pep, callers) {
    const { bundle, authorizer } = ports.active()
    const grants = await ports.resolveGrants(callers.map(({ grant }) => grant))
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
  if (answers.some(({ code }) => code === 'engine_fault')) {
    throw new Error('the engine left a list open')
  }
  const lists = answers.flatMap(({ visible }) => visible ?? [])
  if (lists.length === 0) return null
  return {
    tools: lists.flatMap(({ tools }) => tools),
    resources: lists.some(({ resources }) => resources),
    prompts: lists.some(({ prompts }) => prompts),
  }
}
