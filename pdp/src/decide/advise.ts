// Owns the translation between AuthZEN's words and ours, and the advisory decision behind it.
// A question that maps to nothing we know is a deny with its reason. The PDP records these decisions itself.
import type { Evaluation, EvaluationAnswer } from '../../../schemas/authzen.ts'
import type { Clock } from '../../../schemas/ports.ts'
import { type Json, type JsonObject } from '../../../schemas/strict-json.ts'
import type { Authorizer } from '../authorize/authorizer.ts'
import type { AuthorizationRequest } from '../authorize/types.ts'
import type { Bundle } from '../bundle/bundle.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Advise } from '../routes/access.ts'
import type { Caller } from '../routes/roles.ts'

/** Who the PDP itself is as a writer of records. */
const OWN_PEP = 'pdp'
/** Agent of a question that names none: it belongs to no group, so a rule about agents does not match it. */
const UNNAMED_AGENT = 'unknown'

export type AdvisePorts = {
  readonly bundle: Bundle
  readonly authorizer: Authorizer
  /** Teams of a user as the gateway knows them; none for a user it does not know. */
  readonly teamsOf: (user: string) => Promise<readonly string[]>
  readonly ledger: Ledger
  readonly clock: Clock
}

type Mapped = { readonly request: AuthorizationRequest } | { readonly unmapped: string }

export function createAdvise(ports: AdvisePorts): Advise {
  return async function advise(caller, questions) {
    const mapped = await Promise.all(questions.map((question) => map(ports, caller, question)))
    const requests = mapped.flatMap((item) => ('request' in item ? [item.request] : []))
    const answers = (await decideAndRecord(ports, caller, requests)).values()
    return mapped.map((item) =>
      'request' in item
        ? (answers.next().value ?? { decision: false })
        : { decision: false, context: { error: { status: 422, message: item.unmapped } } },
    )
  }
}

async function decideAndRecord(
  { authorizer, bundle, ledger, clock }: AdvisePorts,
  caller: Caller,
  requests: readonly AuthorizationRequest[],
): Promise<EvaluationAnswer[]> {
  const time = clock.now()
  const [authorizations] = await Promise.all([
    authorizer.authorize(requests),
    ledger.prepare(requests.map(({ user }) => user), time),
  ]) // biome-ignore format: two independent waits
  const sealed = authorizations.map((authorization, index) => {
    const request = requests[index] as AuthorizationRequest
    return ledger.seal({
      pep: caller.kind === 'pep' ? caller.id : OWN_PEP,
      user: request.user,
      agent: request.agent,
      grantId: null,
      server: request.server,
      method: request.method,
      definition: null,
      bundle: bundle.id,
      digests: bundle.digests,
      authorization,
      time: request.time,
      mode: 'advisory',
      identity: '',
    })
  })
  await ledger.append(sealed.map(({ record }) => record))
  return authorizations.map(({ decision, code, policies }, index) => ({
    decision: decision === 'allow',
    context: { id: sealed[index]?.id ?? '', code, policies },
  }))
}

async function map(ports: AdvisePorts, caller: Caller, question: Evaluation): Promise<Mapped> {
  const { subject, action } = question
  const target = targetOf(question)
  if (target === undefined) {
    return {
      unmapped: `cannot map action \`${action.name}\` on a resource of type \`${question.resource.type}\``,
    }
  }
  const asked = caller.kind === 'operator' || caller.servers.includes(target.server)
  if (!asked || !ports.bundle.servers.has(target.server)) return { unmapped: 'unknown server' }
  const isUser = subject.type === 'user' || subject.type === 'identity'
  if (!isUser && subject.type !== 'agent')
    return { unmapped: `unknown subject type \`${subject.type}\`` }
  return {
    request: {
      user: isUser ? subject.id : null,
      teams: isUser ? await ports.teamsOf(subject.id) : [],
      agent: isUser ? (textOf(question.context?.['agent']) ?? UNNAMED_AGENT) : subject.id,
      grant: null,
      server: target.server,
      method: action.name,
      params: target.params,
      definition: null,
      definitionRequired: false,
      time: ports.clock.now(),
      era: 'modern',
      sourceIp: null,
    },
  }
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
