// Owns the PEP face of the PDP: parse, call, serialise. For our own enforcement points only.
import type { Context } from 'hono'
import type { z } from 'zod'
import { serverId } from '../../../schemas/identifiers.ts'
import {
  type BindingKey,
  type ContentsRequest,
  type DecideResult,
  decideRequest,
  definitionsRequest,
  type IdentifyRequest,
  type IdentifyResponse,
  identifyRequest,
  listRequest,
  type listResponse,
  type Outcome,
  outcomesRequest,
  type ReviewedResponse,
  type SightingsRequest,
  type serversResponse,
  type sightingsResponse,
  type Upstream,
} from '../../../schemas/pep-api.ts'
import type { Decide, Enforcer } from '../decide/decide.ts'
import type { List } from '../decide/list.ts'
import type { Events } from '../events.ts'
import { jsonBody } from './body.ts'
import { eventsHandler } from './events.ts'
import type { GuardedRoute, PdpEnv } from './roles.ts'

export type PepPorts = {
  readonly decide: Decide
  readonly sealOutcomes: (pep: Enforcer, outcomes: readonly Outcome[]) => Promise<void>
  readonly sightTools: (
    request: SightingsRequest,
  ) => Promise<Readonly<z.infer<typeof sightingsResponse>['tools']>>
  /** Answers the first fingerprint that is not of its content. */
  readonly keepDefinitions: (request: ContentsRequest) => Promise<string | undefined>
  /** Undefined for a server that is not in the bundle. */
  readonly reviewedDefinitions: (server: string) => ReviewedResponse | undefined
  readonly servers: () => { readonly bundle: string; readonly upstreams: readonly Upstream[] }
  /** Keys of these servers (schemas/pep-api.ts). Never logged. */
  readonly bindingKeys: (servers: readonly string[]) => readonly BindingKey[]
  /** What lists would show these callers of this PEP now; null for one that may not list at all. */
  readonly list: List
  /** Whose token it is. Allows nothing. */
  readonly identify: (request: IdentifyRequest) => Promise<IdentifyResponse>
  readonly events: Pick<Events, 'ready' | 'subscribe'>
}

type ServersResponse = Readonly<z.infer<typeof serversResponse>>
type ListResponse = z.infer<typeof listResponse>

export function pepRoutes(ports: PepPorts): GuardedRoute[] {
  return [
    { method: 'POST', path: '/pep/v1/identify', role: 'pep', handler: identify },
    { method: 'POST', path: '/pep/v1/decide', role: 'pep', handler: decide },
    { method: 'POST', path: '/pep/v1/list', role: 'pep', handler: list },
    { method: 'POST', path: '/pep/v1/outcomes', role: 'pep', handler: outcomes },
    { method: 'POST', path: '/pep/v1/definitions', role: 'pep', handler: definitions },
    { method: 'GET', path: '/pep/v1/definitions', role: 'pep', handler: reviewed },
    { method: 'GET', path: '/pep/v1/servers', role: 'pep', handler: servers },
    { method: 'GET', path: '/pep/v1/events', role: 'pep', handler: eventsHandler(ports.events) },
  ]

  async function identify(c: Context<PdpEnv>): Promise<Response> {
    const body = read(c, identifyRequest)
    if (body instanceof Response) return body
    return c.json(await ports.identify(body))
  }

  async function decide(c: Context<PdpEnv>): Promise<Response> {
    const body = read(c, decideRequest)
    if (body instanceof Response) return body
    const results: DecideResult[] = await ports.decide(enforcer(c), body.calls)
    c.header('cache-control', 'no-store')
    return c.json({ results })
  }

  async function outcomes(c: Context<PdpEnv>): Promise<Response> {
    const body = read(c, outcomesRequest)
    if (body instanceof Response) return body
    await ports.sealOutcomes(enforcer(c), body.outcomes)
    return c.body(null, 204)
  }

  async function definitions(c: Context<PdpEnv>): Promise<Response> {
    const body = read(c, definitionsRequest)
    if (body instanceof Response) return body
    if (!enforcer(c).servers.includes(body.server)) return notEnrolled(c)
    if ('tools' in body) return c.json({ tools: await ports.sightTools(body) })
    const bad = await ports.keepDefinitions(body)
    if (bad === undefined) return c.body(null, 204)
    const message = `the content of ${bad} is not what its fingerprint is of`
    return c.json({ code: 'invalid_request', message }, 400)
  }

  function reviewed(c: Context<PdpEnv>): Response {
    const server = serverId.safeParse(c.req.query('server'))
    if (!server.success)
      return c.json({ code: 'invalid_request', message: '`server` is no server id' }, 400)
    if (!enforcer(c).servers.includes(server.data)) return notEnrolled(c)
    const answer = ports.reviewedDefinitions(server.data)
    if (answer !== undefined) return c.json(answer)
    return c.json({ code: 'not_found', message: 'the bundle has no such server' }, 404)
  }

  function servers(c: Context<PdpEnv>): Response {
    const { id, servers: enrolled } = enforcer(c)
    const { bundle, upstreams } = ports.servers()
    const own = upstreams.filter((one) => enrolled.includes(one.id))
    const keys = [...ports.bindingKeys(own.map((one) => one.id))]
    c.header('cache-control', 'no-store')
    return c.json({ pep: id, bundle, servers: own, keys } satisfies ServersResponse)
  }

  async function list(c: Context<PdpEnv>): Promise<Response> {
    const body = read(c, listRequest)
    if (body instanceof Response) return body
    return c.json({ visible: await ports.list(enforcer(c), body.callers) } satisfies ListResponse)
  }
}

function notEnrolled(c: Context<PdpEnv>): Response {
  return c.json({ code: 'forbidden', message: 'this PEP is not enrolled for that server' }, 403)
}

function enforcer(c: Context<PdpEnv>): Enforcer {
  const caller = c.get('caller')
  if (caller.kind !== 'pep') throw new Error('a PEP route was reached without its role')
  return caller
}

function read<Schema extends z.ZodType>(
  c: Context<PdpEnv>,
  schema: Schema,
): z.infer<Schema> | Response {
  const parsed = schema.safeParse(jsonBody(c))
  if (parsed.success) return parsed.data
  return c.json({ code: 'invalid_request', message: 'the body is not what this route takes' }, 400)
}
