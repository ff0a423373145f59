// Owns deciding: requests in, authorizations out, over a bundle and an engine that are passed in.
// Never records, never reads a clock, never looks anybody up: what it needs is in the request.
import type { EngineAnswer, Evaluation } from '../../../schemas/cedar.ts'
import type { Listed } from '../../../schemas/mcp.ts'
import type { Visible } from '../../../schemas/pep-api.ts'
import { ask, denied, NO_ANSWER, UNDECIDED } from './denial.ts'
import { interpret } from './interpret.ts'
import type { ListMemory } from './list-memory.ts'
import { createListMemory, isLasting, listKey } from './list-memory.ts'
import type { Plan } from './plan.ts'
import { NO_SUCH_TOOL, namedTool, plan } from './plan.ts'
import { toCedarRequest } from './request.ts'
import type {
  ActionKeys,
  Authorization,
  AuthorizationRequest,
  AuthorizerBundle,
  DecidedTool,
  EngineKeys,
  Evaluator,
  Outcome,
} from './types.ts'

export type Authorizer = {
  /**
   * Decides each request by itself; the answers come in the same order. Never rejects: a request that cannot be
   * decided is denied with its own code. The same request always gets the same answer from the same bundle.
   */
  readonly authorize: (requests: readonly AuthorizationRequest[]) => Promise<Authorization[]>
}

/** `bundle.generation` must be active in the engine; without it every request is denied with `engine_fault`. */
export function createAuthorizer(ports: {
  readonly bundle: AuthorizerBundle
  readonly engine: Evaluator
  /** Whether the bundle is too old to decide by. Default: never. */
  readonly isStale?: () => boolean
}): Authorizer {
  const { bundle, engine, isStale = () => false } = ports
  const decided: Decided = { bundle, lists: createListMemory() }
  return {
    async authorize(requests) {
      const prepared = requests.map((request) => prepare(request, decided, isStale()))
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
  readonly conclude: (answers: readonly EngineAnswer[]) => Authorization
}
type Asked = Extract<Plan, { kind: 'ask' }>
/** What requests are decided by, and what is remembered of earlier ones. */
type Decided = { readonly bundle: AuthorizerBundle; readonly lists: ListMemory }

function prepare(request: AuthorizationRequest, by: Decided, stale: boolean): Prepared {
  try {
    const planned = plan(request, by.bundle)
    if (stale) return refused({ ...planned, ...STALE })
    const prepared = planned.kind === 'refuse' ? refused(planned) : asked(planned, request, by)
    const { concealable } = planned
    return concealable === null ? prepared : concealing(prepared, concealable, request, by.bundle)
  } catch {
    // Reading the message failed (too deep to write as text, a time that is no date): nothing was asked.
    const detail = 'the message cannot be read'
    return refused({ tool: namedTool(request), arguments: '', code: 'invalid_request', detail })
  }
}

function asked(
  planned: Asked,
  request: AuthorizationRequest,
  { bundle, lists }: Decided,
): Prepared {
  const { action, context, filter, keys } = planned
  const { texts, reading } = toCedarRequest(request, action, context)
  const evaluation = (of: string, { policySet, schema, reads }: EngineKeys): Evaluation => {
    return { generation: bundle.generation.id, policySet, schema, texts: reading(of, reads) }
  }
  const said = { tool: planned.tool, cedar: texts, arguments: planned.arguments, concealed: false }
  const shadowed = keys.shadow === null ? [] : [evaluation(action, keys.shadow)]
  const listing = filter === null ? NO_LIST : prepareList(filter, request, { bundle, lists })
  return {
    evaluations: [
      evaluation(action, keys.call),
      ...shadowed,
      ...listing.groups.map((group) => evaluation(group.action, group.keys.listing)),
    ],
    conclude([answer = NO_ANSWER, ...rest]) {
      const outcome = interpret(answer)
      const shadow = keys.shadow === null ? null : interpret(rest[0] ?? NO_ANSWER)
      if (outcome.decision === 'deny' || filter === null) {
        return { ...said, ...outcome, shadow, detail: detailOf(outcome, bundle), visible: null }
      }
      const visible = listing.conclude(rest.slice(shadowed.length))
      if (visible !== undefined) return { ...said, ...outcome, shadow, detail: '', visible }
      const detail = detailOf(UNDECIDED, bundle)
      return { ...said, ...UNDECIDED, shadow: null, detail, visible: null }
    },
  }
}

/** What must be asked of the engine for one list; undefined when the engine left some of it open. */
type PreparedList = {
  readonly groups: readonly ListedGroup[]
  readonly conclude: (answers: readonly EngineAnswer[]) => Visible | undefined
}

const NO_LIST: PreparedList = { groups: [], conclude: () => undefined }

function prepareList(
  filter: Listed,
  request: AuthorizationRequest,
  { bundle, lists }: Decided,
): PreparedList {
  const all = listedGroups(filter, request.server, bundle)
  const lasting = all.filter(({ keys }) => isLasting(keys.listing))
  const key = listKey(filter, request)
  const known = lists.get(key)
  const momentary = all.filter(({ keys }) => !isLasting(keys.listing))
  const groups = known === undefined ? [...lasting, ...momentary] : momentary
  return {
    groups,
    conclude(answers) {
      const count = known === undefined ? lasting.length : 0
      const first = known ?? shownNames(lasting, answers.slice(0, count))
      const second = shownNames(momentary, answers.slice(count))
      if (first === undefined || second === undefined) return undefined
      lists.set(key, first)
      return visibleOf(filter, [...first, ...second])
    },
  }
}

/** Asks for the tool's visibility too: a denied caller who may not see it must not learn that there is one. */
function concealing(
  { evaluations, conclude }: Prepared,
  tool: DecidedTool,
  request: AuthorizationRequest,
  bundle: AuthorizerBundle,
): Prepared {
  const { policySet, schema, reads } = tool.keys.listing
  const { reading } = toCedarRequest(request, tool.action, {})
  const texts = reading(tool.action, reads)
  return {
    evaluations: [...evaluations, { generation: bundle.generation.id, policySet, schema, texts }],
    conclude(answers) {
      const authorization = conclude(answers.slice(0, evaluations.length))
      const listed = answers[evaluations.length] ?? NO_ANSWER
      const seen = listed.kind === 'success' && listed.decision === 'allow'
      if (seen || authorization.decision === 'allow') return authorization
      return { ...authorization, concealed: true, detail: NO_SUCH_TOOL }
    },
  }
}

const STALE = {
  code: 'stale_bundle',
  detail: 'the policies could not be confirmed for longer than `maxBundleAge` allows',
} as const

function refused(why: Parameters<typeof denied>[0]): Prepared {
  const answer = denied(why)
  return { evaluations: [], conclude: () => answer }
}

/** What is listed alike is asked about once. */
type ListedGroup = {
  readonly action: string
  readonly keys: ActionKeys
  readonly names: readonly string[]
}

/** Whose visibility a list depends on: each tool, or the one action that reads what is listed. */
function listedGroups(filter: Listed, server: string, bundle: AuthorizerBundle): ListedGroup[] {
  const of = bundle.servers.get(server)
  if (of === undefined) return []
  if (filter !== 'tools') {
    const action = filter === 'prompts' ? 'prompts/get' : 'resources/read'
    return [{ action, keys: of.actions[action], names: [filter] }]
  }
  const groups = Map.groupBy(of.tools.values(), ({ keys }) => keys.listing.group)
  return [...groups.values()].flatMap((tools) => {
    const names = tools.map(({ name }) => name)
    return tools.slice(0, 1).map(({ action, keys }) => ({ action, keys, names }))
  })
}

/** undefined when the engine left one of them open. Evaluation errors only hide what would be denied as well. */
function shownNames(
  groups: readonly ListedGroup[],
  answers: readonly EngineAnswer[],
): readonly string[] | undefined {
  const names: string[] = []
  for (const [index, group] of groups.entries()) {
    const answer = answers[index] ?? NO_ANSWER
    if (answer.kind !== 'success') return undefined
    if (answer.decision === 'allow') names.push(...group.names)
  }
  return names
}

function visibleOf(filter: Listed, names: readonly string[]): Visible {
  const some = names.length > 0
  return {
    tools: filter === 'tools' ? names.toSorted() : [],
    resources: (filter === 'resources' || filter === 'resourceTemplates') && some,
    prompts: filter === 'prompts' && some,
  }
}

function detailOf({ code, policies }: Outcome, bundle: AuthorizerBundle): string {
  switch (code) {
    case 'permit':
      return ''
    case 'forbid': {
      const reasons = policies.map(
        (id) =>
          (bundle.policies.get(id) ?? bundle.base.get(id))?.reason ?? `forbidden by \`${id}\``,
      )
      return [...new Set(reasons)].join('; ')
    }
    case 'no_permit':
      return 'no policy permits this'
    case 'policy_error':
      return 'a policy that applies failed to evaluate'
    case 'invalid_request':
      return 'the request does not fit the policy schema'
    default:
      return 'no decision could be made'
  }
}
