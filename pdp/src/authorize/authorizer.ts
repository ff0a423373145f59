// Owns deciding: requests in, authorizations out, over a bundle and an engine that are passed in.
// Never records, never reads a clock, never looks anybody up: what it needs is in the request.
import type { EngineAnswer, Evaluation } from '../../../schemas/cedar.ts'
import type { VerdictCode } from '../../../schemas/codes.ts'
import { ITEM_ACTIONS } from '../../../schemas/mcp.ts'
import type { Visible } from '../../../schemas/pep-api.ts'
import { interpret } from './interpret.ts'
import type { Plan } from './plan.ts'
import { plan } from './plan.ts'
import { toCedarRequest } from './request.ts'
import type {
  Authorization,
  AuthorizationRequest,
  AuthorizerBundle,
  DecidedServer,
  EngineKeys,
  Evaluator,
} from './types.ts'

export type Authorizer = {
  /**
   * Decides each request by itself; the answers come in the same order. Never rejects: a request that cannot be
   * decided is denied with its own code. The same request always gets the same answer from the same bundle.
   */
  authorize(requests: readonly AuthorizationRequest[]): Promise<Authorization[]>
}

/** `bundle.generation` must be active in the engine; without it every request is denied with `engine_fault`. */
export function createAuthorizer(ports: {
  readonly bundle: AuthorizerBundle
  readonly engine: Evaluator
}): Authorizer {
  const { bundle, engine } = ports
  return {
    async authorize(requests) {
      const prepared = requests.map((request) => prepare(request, bundle))
      const evaluations = prepared.flatMap((one) => one.evaluations)
      const answers = await ask(engine, evaluations)
      let from = 0
      return prepared.map(({ evaluations: own, conclude }) => {
        const start = from
        from += own.length
        return conclude(answers.slice(start, from))
      })
    },
  }
}

/** One message: what to ask Cedar (nothing, when it is refused), and what the answers mean. */
type Prepared = {
  readonly evaluations: readonly Evaluation[]
  conclude(answers: readonly EngineAnswer[]): Authorization
}

const NO_ANSWER: EngineAnswer = { kind: 'fault', cause: 'the engine did not answer' }
const NOT_ASKED = { request: '', context: '', entities: '' }

async function ask(
  engine: Evaluator,
  evaluations: readonly Evaluation[],
): Promise<readonly EngineAnswer[]> {
  if (evaluations.length === 0) return []
  try {
    return await engine.evaluate(evaluations)
  } catch {
    // An engine that throws has decided nothing: every one of these calls is denied.
    return evaluations.map(() => NO_ANSWER)
  }
}

function prepare(request: AuthorizationRequest, bundle: AuthorizerBundle): Prepared {
  try {
    return prepareUnguarded(request, bundle)
  } catch {
    // Reading the message failed (too deep to write as text, a time that is no date): nothing was asked.
    return refusal({ tool: null, arguments: '' }, 'invalid_request', 'the message cannot be read')
  }
}

function prepareUnguarded(request: AuthorizationRequest, bundle: AuthorizerBundle): Prepared {
  const planned = plan(request, bundle)
  if (planned.kind === 'refuse') return refusal(planned, planned.code, planned.detail)
  const server = bundle.servers.get(request.server) as DecidedServer
  const texts = toCedarRequest(request, planned.action, planned.context)
  const generation = bundle.generation.id
  const evaluation = { generation, ...planned.keys.call, texts }
  const listed = listings(request, server, planned).map(({ action, keys }) => ({
    generation,
    ...keys,
    texts: toCedarRequest(request, action, {}),
  }))
  return {
    evaluations: [evaluation, ...listed],
    conclude: ([answer = NO_ANSWER, ...rest]) => {
      const { decision, code, policies, errors } = interpret(answer)
      const shown = decision === 'allow' && planned.filter !== null
      const common = { policies, errors, tool: planned.tool, cedar: texts, arguments: planned.arguments }
      if (shown && rest.some(({ kind }) => kind !== 'success')) {
        return { ...common, decision: 'deny', code: 'engine_fault', detail: DETAILS.engine_fault ?? '', visible: null }
      }
      const visible = shown ? visibleOf(planned, server, rest) : null
      const detail = decision === 'allow' ? '' : detailOf(code, policies, bundle)
      return { ...common, decision, code, detail, visible }
    },
  }
}

function refusal(said: Pick<Plan, 'tool' | 'arguments'>, code: VerdictCode, detail: string): Prepared {
  return {
    evaluations: [],
    conclude: () => ({
      decision: 'deny',
      code,
      policies: [],
      errors: [],
      tool: said.tool,
      detail,
      visible: null,
      cedar: NOT_ASKED,
      arguments: said.arguments,
    }),
  }
}
