// Owns the translation between AuthZEN's words and ours, and the advisory decision behind it.
// A question that maps to nothing we know is a deny with its reason. The PDP records these decisions itself.
import type { Evaluation, EvaluationAnswer } from '../../../schemas/authzen.ts'
import { senderOf } from '../../../schemas/mcp.ts'
import type { Clock } from '../../../schemas/ports.ts'
import { type Json, type JsonObject } from '../../../schemas/strict-json.ts'
import type { OwnRequest } from '../authorize/own.ts'
import type { Authorization, AuthorizationRequest } from '../authorize/types.ts'
import type { Standing } from '../identity/standing.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Advise } from '../routes/access.ts'
import type { Caller } from '../routes/roles.ts'
import type { Active } from './decide.ts'

/** Who the PDP itself is as a writer of records. */
const OWN_PEP = 'pdp'
/** Agent of a question that names none: it belongs to no group, so a rule about agents does not match it. */
const UNNAMED_AGENT = 'unknown'

export type AdvisePorts = {
  readonly active: () => Active
  /** What the gateway knows of a user (null: nobody) and an agent. */
  readonly standingOf: (user: string | null, agent: string) => Promise<Standing>
  readonly ledger: Ledger
  readonly clock: Clock
  /** Told of each decision; must not throw. */
  readonly onDecided: (authorization: Authorization) => void
}

/** What a record says of a question beside its answer. */
type Named = Pick<AuthorizationRequest, 'user' | 'agent' | 'server' | 'method'>
type Mapped =
  | { readonly kind: 'mcp'; readonly named: Named; readonly request: AuthorizationRequest }
  | { readonly kind: 'own'; readonly named: Named; readonly request: OwnRequest }
  | { readonly kind: 'unmapped'; readonly why: string }
type Asked = Exclude<Mapped, { kind: 'unmapped' }>

export function createAdvise(ports: AdvisePorts): Advise {
  return async function advise(caller, questions) {
    const active = ports.active()
    const mapped = await Promise.all(
      questions.map((question) => mapQuestion(ports, active, caller, question)),
    )
    const asked = mapped.filter((item): item is Asked => item.kind !== 'unmapped')
    const answers = (await decideAndRecord(ports, active, caller, asked)).values()
    return mapped.map((item) =>
      item.kind === 'unmapped'
        ? { decision: false, context: { error: { status: 422, message: item.why } } }
        : (answers.next().value ?? { decision: false }),
    )
  }
}

async function decideAndRecord(
  { ledger, clock, onDecided }: AdvisePorts,
  active: Active,
  caller: Caller,
  asked: readonly Asked[],
): Promise<EvaluationAnswer[]> {
  const time = clock.now()
  const { bundle } = active
  const [authorizations] = await Promise.all([
    authorizeAll(active, asked),
    ledger.prepare(asked.map(({ named }) => named.user), time),
  ]) // biome-ignore format: two independent waits
  authorizations.forEach(onDecided)
  const sealed = authorizations.map((authorization, index) =>
    ledger.seal({
      pep: caller.kind === 'pep' ? caller.id : OWN_PEP,
      ...(asked[index] as Asked).named,
      grantId: null,
      definition: null,
      bundle: bundle.id,
      digests: bundle.digests,
      authorization,
      time,
      mode: 'advisory',
      identity: '',
    }),
  )
  await ledger.append(sealed.map(({ record }) => record))
  return authorizations.map(({ decision, code, policies }, index) => ({
    decision: decision === 'allow',
    context: { id: sealed[index]?.id ?? '', code, policies },
  }))
}

/** Each in its place, MCP's and the bundle's own side by side. */
export async function authorizeAll(
  { authorizer, own }: Active,
  asked: readonly Asked[],
): Promise<Authorization[]> {
  const mcp = asked.flatMap((one) => (one.kind === 'mcp' ? [one.request] : []))
  const others = asked.flatMap((one) => (one.kind === 'own' ? [one.request] : []))
  const [first, second] = await Promise.all([authorizer.authorize(mcp), own.authorize(others)])
  const [mcpAnswers, ownAnswers] = [first.values(), second.values()]
  return asked.map(({ kind }) => {
    const answer = (kind === 'mcp' ? mcpAnswers : ownAnswers).next().value
    if (answer === undefined) throw new Error('the authorizer answered too few requests')
    return answer
  })
}

/** One question in our words, or why there are none for it. */
export async function mapQuestion(
  ports: Pick<AdvisePorts, 'standingOf' | 'clock'>,
  active: Active,
  caller: Caller,
  question: Evaluation,
): Promise<Mapped> {
  return active.own.knowsType(question.resource.type)
    ? mapOwn(caller, question)
    : mapMcp(ports, active, caller, question)
}

/** A PEP is enrolled for servers alone; types beyond MCP are for whoever holds the operator's token. */
function mapOwn(caller: Caller, { subject, action, resource, context }: Evaluation): Mapped {
  if (caller.kind !== 'operator') {
    return { kind: 'unmapped', why: 'types beyond MCP are for operators' }
  }
  const described = (of: typeof subject) => {
    return { type: of.type, id: of.id, properties: (of.properties ?? {}) as JsonObject }
  }
  return {
    kind: 'own',
    named: {
      user: `${subject.type}::${subject.id}`,
      agent: textOf(context?.['agent']) ?? UNNAMED_AGENT,
      server: `${resource.type}::${resource.id}`,
      method: action.name,
    },
    request: {
      subject: described(subject),
      action: { name: action.name, properties: (action.properties ?? {}) as JsonObject },
      resource: described(resource),
      context: (context ?? {}) as JsonObject,
    },
  }
}

async function mapMcp(
  ports: Pick<AdvisePorts, 'standingOf' | 'clock'>,
  { bundle }: Active,
  caller: Caller,
  question: Evaluation,
): Promise<Mapped> {
  const { subject, action } = question
  const target = targetOf(question)
  if (target === undefined) {
    const on = `on a resource of type \`${question.resource.type}\``
    return { kind: 'unmapped', why: `cannot map action \`${action.name}\` ${on}` }
  }
  const asked = caller.kind === 'operator' || caller.servers.includes(target.server)
  if (!asked || !bundle.servers.has(target.server)) {
    return { kind: 'unmapped', why: 'unknown server' }
  }
  const isUser = subject.type === 'user' || subject.type === 'identity'
  if (!isUser && subject.type !== 'agent') {
    return { kind: 'unmapped', why: `unknown subject type \`${subject.type}\`` }
  }
  const named = {
    user: isUser ? subject.id : null,
    agent: isUser ? (textOf(question.context?.['agent']) ?? UNNAMED_AGENT) : subject.id,
    server: target.server,
    method: action.name,
  }
  const request: AuthorizationRequest = {
    ...named,
    from: senderOf(named.method),
    ...(await ports.standingOf(named.user, named.agent)),
    grant: null,
    params: target.params,
    definition: null,
    definitionRequired: false,
    time: ports.clock.now(),
    era: 'modern',
    sourceIp: null,
  }
  return { kind: 'mcp', named, request }
}

type Target = { readonly server: string; readonly params: JsonObject | undefined }

/** COAZ-MCP default mapping: the server stands in `resource.properties.server` or as `<server>/<name>` in the id. */
function targetOf({ action, resource, context }: Evaluation): Target | undefined {
  if (resource.type === 'mcp_server') return { server: resource.id, params: undefined }
  const named = textOf(resource.properties?.['server'])
  const slash = resource.id.indexOf('/')
  const server = named ?? (slash > 0 ? resource.id.slice(0, slash) : undefined)
  if (server === undefined) return undefined
  const name = named === undefined ? resource.id.slice(slash + 1) : resource.id
  switch (`${action.name} ${resource.type}`) {
    case 'tools/call tool':
      return { server, params: { name, ...argumentsOf(context?.['arguments']) } }
    case 'resources/read resource':
      return { server, params: { uri: name } }
    case 'prompts/get prompt':
      return { server, params: { name, ...argumentsOf(context?.['arguments']) } }
    default:
      return undefined
  }
}

function argumentsOf(value: unknown): JsonObject {
  return value === undefined ? {} : { arguments: value as Json }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
