// Owns what operators may see of decisions: argument values are for an auditor alone, and showing them is an act.
import type { Context } from 'hono'
import { z } from 'zod'
import type { Canonical } from '../../../schemas/canonical-json.ts'
import {
  type DecisionRow,
  type DecisionsQuery,
  decisionQuery,
  decisionsQuery,
} from '../../../schemas/decisions-api.ts'
import { missing } from './missing.ts'
import { readId, readQuery } from './read.ts'
import type { Recorder } from './record-act.ts'
import { EVERY_ROLE, type GuardedRoute, operatorOf, type PdpEnv } from './roles.ts'

export type DecisionPorts = {
  /** With argument values, whoever asks. */
  readonly listDecisions: (query: DecisionsQuery) => Promise<readonly DecisionRow[]>
  readonly showDecision: (id: string) => Promise<DecisionRow | undefined>
}

const ACT = 'decisions.arguments'

export function decisionRoutes(ports: DecisionPorts, record: Recorder): GuardedRoute[] {
  const act = { name: ACT, body: 'handler' } as const
  return [
    { method: 'GET', path: '/admin/v1/decisions', role: EVERY_ROLE, act, handler: list },
    { method: 'GET', path: '/admin/v1/decisions/:id', role: EVERY_ROLE, act, handler: show },
  ]

  async function list(c: Context<PdpEnv>): Promise<Response> {
    const query = readQuery(c, decisionsQuery)
    if (query instanceof Response) return query
    return revealing(c, query.arguments !== false, c.req.query(), async (shown) => {
      const decisions = await ports.listDecisions(query)
      return c.json({ decisions: shown ? decisions : decisions.map(withoutArguments) })
    })
  }

  async function show(c: Context<PdpEnv>): Promise<Response> {
    const query = readQuery(c, decisionQuery)
    if (query instanceof Response) return query
    const id = readId(c, z.uuid())
    if (id === '') return missing(c, 'decision', 'cedargate decisions ls')
    return revealing(c, query.arguments !== false, { id }, async (shown) => {
      const found = await ports.showDecision(id)
      if (found === undefined) return missing(c, 'decision', 'cedargate decisions ls')
      return c.json(shown ? found : withoutArguments(found))
    })
  }

  /** Calls `answer` with whether values are shown, after it is recorded that they will be. */
  async function revealing(
    c: Context<PdpEnv>,
    wanted: boolean,
    what: Canonical,
    answer: (shown: boolean) => Promise<Response>,
  ): Promise<Response> {
    const { user, roles } = operatorOf(c)
    if (!wanted || !roles.includes('auditor')) return answer(false)
    return record(c, { user, act: ACT, what }, () => answer(true))
  }
}

function withoutArguments(row: DecisionRow): DecisionRow {
  return { ...row, arguments: null, argumentsShown: false }
}
