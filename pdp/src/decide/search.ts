// Owns AuthZEN searches: which subjects, resources or actions fit the other two. Asks the same core, once per candidate.
// Never records: nobody acts on a search. Never says of a tool that it may be called, only that some call of it might be.
import type { Evaluation, SearchResult } from '../../../schemas/authzen.ts'
import { AUTHZEN_SEARCH_CHUNK } from '../../../schemas/limits.ts'
import type { Authorization } from '../authorize/types.ts'
import type { Caller } from '../routes/roles.ts'
import type { Search } from '../routes/search.ts'
import type { AdvisePorts } from './advise.ts'
import { authorizeAll, mapQuestion } from './advise.ts'
import type { Active } from './decide.ts'

type Ports = Pick<AdvisePorts, 'active' | 'standingOf' | 'clock'>

/** The MCP list whose visibility answers a search over tools. */
const LIST = { name: 'tools/list' }
const CALL = 'tools/call'

export function createSearch(ports: Ports): Search {
  return {
    async subjects(caller, { subject, action, resource, context }) {
      const { own } = ports.active()
      const found = own.knowsType(resource.type) ? own.idsOf(subject.type) : []
      const candidates = found.map((id) => ({ type: subject.type, id }))
      return keepAllowed(ports, caller, candidates, (candidate) => ({
        subject: { ...candidate, ...propertiesOf(subject) },
        action,
        resource,
        context,
      }))
    },
    async resources(caller, { subject, action, resource, context }) {
      const { own, bundle } = ports.active()
      const question = { subject, action, context }
      if (own.knowsType(resource.type)) {
        const candidates = own.idsOf(resource.type).map((id) => ({ type: resource.type, id }))
        return keepAllowed(ports, caller, candidates, (candidate) => ({
          ...question,
          resource: { ...candidate, ...propertiesOf(resource) },
        }))
      }
      if (resource.type === 'mcp_server') {
        const candidates = [...bundle.servers.keys()].map((id) => ({ type: resource.type, id }))
        return keepAllowed(ports, caller, candidates, (candidate) => ({
          ...question,
          resource: candidate,
        }))
      }
      if (resource.type !== 'tool' || action.name !== CALL) return []
      const tools = await toolsOf(ports, caller, { subject, context })
      return tools.map(({ server, tool }) => ({ type: 'tool', id: `${server}/${tool}` }))
    },
    async actions(caller, { subject, resource, context }) {
      const { own, bundle } = ports.active()
      if (own.knowsType(resource.type)) {
        const names = own.actionsFor(subject.type, resource.type).map((name) => ({ name }))
        return keepAllowed(ports, caller, names, (action) => ({
          subject,
          resource,
          context,
          action,
        }))
      }
      if (resource.type === 'mcp_server') {
        if (!bundle.servers.has(resource.id)) return []
        const tools = await toolsOf(ports, caller, { subject, context }, resource.id)
        return tools.map(({ tool }) => ({ name: CALL, properties: { tool } }))
      }
      if (resource.type !== 'tool') return []
      const tools = await toolsOf(ports, caller, { subject, context })
      const isThis = tools.some(({ server, tool }) => isNamed(resource, server, tool))
      return isThis ? [{ name: CALL }] : []
    },
  }
}

type Asker = Pick<Evaluation, 'subject' | 'context'>

function isNamed({ id, properties }: Evaluation['resource'], server: string, tool: string) {
  return properties?.['server'] === server ? id === tool : id === `${server}/${tool}`
}

function propertiesOf({ properties }: Evaluation['subject']): { properties?: typeof properties } {
  return properties === undefined ? {} : { properties }
}

/** Tools that some call of this subject could be allowed for, as `tools/list` would show them. */
async function toolsOf(
  ports: Ports,
  caller: Caller,
  { subject, context }: Asker,
  only?: string,
): Promise<{ server: string; tool: string }[]> {
  const servers = only === undefined ? [...ports.active().bundle.servers.keys()] : [only]
  const questions = servers.map((id): Evaluation => {
    return { subject, action: LIST, resource: { type: 'mcp_server', id }, context }
  })
  const answers = await decideAll(ports, ports.active(), caller, questions)
  return servers.flatMap((server, index) => {
    const tools = answers[index]?.visible?.tools ?? []
    return tools.map((tool) => ({ server, tool }))
  })
}

async function keepAllowed<Candidate extends SearchResult>(
  ports: Ports,
  caller: Caller,
  candidates: readonly Candidate[],
  question: (candidate: Candidate) => Evaluation,
): Promise<Candidate[]> {
  const active = ports.active()
  const kept: Candidate[] = []
  for (let from = 0; from < candidates.length; from += AUTHZEN_SEARCH_CHUNK) {
    const some = candidates.slice(from, from + AUTHZEN_SEARCH_CHUNK)
    const answers = await decideAll(ports, active, caller, some.map(question))
    kept.push(...some.filter((_, index) => answers[index]?.decision === 'allow'))
  }
  return kept
}

/** undefined for a question that maps to nothing: it has no results. */
async function decideAll(
  ports: Ports,
  active: Active,
  caller: Caller,
  questions: readonly Evaluation[],
): Promise<(Authorization | undefined)[]> {
  const mapped = await Promise.all(
    questions.map((question) => mapQuestion(ports, active, caller, question)),
  )
  const asked = mapped.flatMap((one) => (one.kind === 'unmapped' ? [] : [one]))
  const answers = (await authorizeAll(active, asked)).values()
  return mapped.map((one) => (one.kind === 'unmapped' ? undefined : answers.next().value))
}
