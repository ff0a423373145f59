// Owns the comparison of two runs of one line: what the suite checked, what the client saw, what the server saw.
// Anything that differs beyond the table of rewrites is a difference, told so that a person can act on it.
import { compareChecks } from './compare-checks.ts'
import { compareBound, compareLeft } from './compare-whole.ts'
import type { Difference } from './difference.ts'
import { type Exchange, eventsOf, isEventStream } from './exchange.ts'
import { named, renumbered } from './names.ts'
import { type Expected, REWRITES, type Rewrite } from './rewrites.ts'
import type { Seen } from './run.ts'

export type Comparison = {
  readonly differences: readonly Difference[]
  /** Checks and exchanges that were held against each other. */
  readonly compared: number
}

/** Scenarios that send several requests at once: theirs are ordered by what they say. */
const PARALLEL: ReadonlySet<string> = new Set(['server-sse-multiple-streams'])
export function compareRuns(
  direct: Seen,
  through: Seen,
  rewrites: readonly Rewrite[] = REWRITES,
): Comparison {
  const differences = [...compareChecks(direct.checks, through.checks)]
  const scenarios = new Set(direct.client.map(({ scenario }) => scenario))
  const reached = inTheirScenario(withoutOwn(through.upstream))
  for (const { scenario } of [...through.client, ...reached]) scenarios.add(scenario)
  for (const scenario of scenarios) {
    const sides = [direct.client, through.client, reached].map((side) => ordered(side, scenario))
    const [own = [], client = [], upstream = []] = withoutLeft(sides)
    differences.push(...compareScenario({ scenario, direct: own, client, upstream, rewrites }))
  }
  differences.push(...compareLeft(direct.client, through.client))
  differences.push(...compareBound(through.client, reached))
  return { differences, compared: direct.checks.length + 2 * direct.client.length }
}

type Sides = {
  readonly scenario: string
  readonly direct: readonly Exchange[]
  readonly client: readonly Exchange[]
  readonly upstream: readonly Exchange[]
  readonly rewrites: readonly Rewrite[]
}

function compareScenario({ scenario, direct, client, upstream, rewrites }: Sides): Difference[] {
  const found: Difference[] = []
  const expected: Exchange[] = []
  for (const [index, own] of direct.entries()) {
    const seen = client[index]
    if (seen === undefined || saidOf(own) !== saidOf(seen)) {
      const where = `request ${index + 1}: the client itself went another way`
      const theirs = seen === undefined ? 'nothing' : saidOf(seen)
      return [...found, { scenario, where, direct: saidOf(own), through: theirs }]
    }
    const wanted = rewrites.reduce<Expected>((so, { expect }) => expect?.(so, seen) ?? so, {
      client: own,
      upstream: own,
    })
    const settled = rewrites.reduce((so, { settle }) => settle?.(so) ?? so, seen)
    found.push(...compareAnswer({ scenario, index, side: 'client' }, wanted.client, settled))
    if (wanted.upstream !== undefined) expected.push(wanted.upstream)
  }
  if (client.length > direct.length) {
    const theirs = client.slice(direct.length).map(saidOf).join('\n')
    const where = 'requests beyond: the client itself went another way'
    found.push({ scenario, where, direct: 'nothing', through: theirs })
  }
  return [...found, ...compareUpstream(scenario, renumbered(expected), renumbered(upstream))]
}

function compareUpstream(
  scenario: string,
  expected: readonly Exchange[],
  upstream: readonly Exchange[],
): Difference[] {
  const sequence = [expected, upstream].map((side) => side.map(saidOf).join('\n'))
  const [direct = '', through = ''] = sequence
  if (direct !== through)
    return [{ scenario, where: 'the requests that the server saw', direct, through }]
  return expected.flatMap((own, index) => {
    const seen = upstream[index] ?? own
    const at = { scenario, index, side: 'server' as const }
    const where = whereOf(at, own, 'headers of the request')
    const headers = differ(headersText(own.request.headers), headersText(seen.request.headers))
    return [
      ...(headers === undefined ? [] : [{ scenario, where, ...headers }]),
      ...compareAnswer(at, own, seen),
    ]
  })
}

type At = { readonly scenario: string; readonly index: number; readonly side: 'client' | 'server' }

function whereOf({ index, side }: At, { request }: Exchange, what: string): string {
  const method = /"method":"([^"]+)"/.exec(request.body)?.[1] ?? ''
  return `${what}, exchange ${index + 1} of the ${side}: ${request.method} ${method}`.trim()
}

function compareAnswer(at: At, own: Exchange, seen: Exchange): Difference[] {
  const { scenario } = at
  const [a, b] = [own.response, seen.response]
  const tell = (what: string, texts: { direct: string; through: string } | undefined) =>
    texts === undefined ? [] : [{ scenario, where: whereOf(at, own, what), ...texts }]
  if (a === undefined || b === undefined)
    return tell('answer', differ(a ? 'answered' : 'no answer', b ? 'answered' : 'no answer'))
  return [
    ...tell('status', differ(String(a.status), String(b.status))),
    ...tell('headers of the answer', differ(headersText(a.headers), headersText(b.headers))),
    ...tell('body of the answer', compareBodies(a, b)),
    ...tell('end of the answer', differ(endOf(a), endOf(b))),
  ]
}

type Response = NonNullable<Exchange['response']>

/** Who left is a matter of moments, where the client had what it wanted; that the server broke off is not. */
function endOf({ ended }: Response): string {
  return ended === 'broken' ? 'broke off' : 'did not break off'
}

/**
 * Texts are compared byte by byte, events one by one. Of a stream that the client left, what came after that is a matter
 * of moments: one may have some events more, but not one have some and the other none.
 */
function compareBodies(a: Response, b: Response): { direct: string; through: string } | undefined {
  if (!isEventStream(a.headers) || !isEventStream(b.headers)) return differ(a.body, b.body)
  const [own, seen] = [eventsOf(a.body), eventsOf(b.body)]
  const isLeft = a.ended === 'left' || b.ended === 'left'
  const count = isLeft ? Math.min(own.length, seen.length) : Math.max(own.length, seen.length)
  const least = isLeft && own.length > 0 ? Math.max(count, 1) : count
  for (let index = 0; index < least; index++) {
    const found = differ(own[index] ?? '(no event)', seen[index] ?? '(no event)')
    if (found !== undefined) return found
  }
  return undefined
}

function differ(direct: string, through: string) {
  return direct === through ? undefined : { direct, through }
}

function headersText(headers: Exchange['request']['headers']): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  return lines.toSorted().join('\n')
}

/** What a request is, apart from headers that are looked at on the side of the server. */
function saidOf({ request: { method, path, body } }: Exchange): string {
  return `${method} ${path} ${body}`.trim()
}

/**
 * The exchanges of one scenario with ids named. Each HTTP method has its own order: a client opens its GET stream beside
 * what else it does.
 */
function ordered(exchanges: readonly Exchange[], scenario: string): Exchange[] {
  const own = exchanges.filter((exchange) => exchange.scenario === scenario)
  const lanes = ['POST', 'GET', 'DELETE'].map((method) => {
    const lane = own.filter(({ request }) => request.method === method)
    return PARALLEL.has(scenario) ? lane.toSorted(byBody) : lane
  })
  const rest = own.filter(({ request }) => !['POST', 'GET', 'DELETE'].includes(request.method))
  return named([...lanes.flat(), ...rest])
}

function byBody({ request: a }: Exchange, { request: b }: Exchange): number {
  return a.body < b.body ? -1 : Number(a.body > b.body)
}

/**
 * A client opens its GET stream beside what else it does, and may be gone before it is answered: such a stream counts on
 * no side. That most are answered is looked at over the whole run.
 */
function withoutLeft(sides: readonly Exchange[][]): Exchange[][] {
  const [direct = [], client = []] = sides
  const left = [...direct, ...client].filter(({ response }) => response === undefined)
  const streams = new Set(left.map(streamOf))
  streams.delete(undefined)
  return sides.map((side) => side.filter((exchange) => !streams.has(streamOf(exchange))))
}

/** Without what the gateway asks for itself, in sessions of its own. */
function withoutOwn(exchanges: readonly Exchange[]): Exchange[] {
  const sessions = new Set(
    exchanges.filter(isOwnRequest).map(({ response }) => response?.headers['mcp-session-id']),
  )
  sessions.delete(undefined)
  return exchanges.filter(
    (exchange) =>
      !isOwnRequest(exchange) && !sessions.has(exchange.request.headers['mcp-session-id']),
  )
}

function isOwnRequest({ request }: Exchange): boolean {
  return /"(?:io\.modelcontextprotocol\/)?clientInfo":\{"name":"cedargate"/.test(request.body)
}

/** A stream that its client left at once may reach the server in the next scenario: it is of the one of its session. */
function inTheirScenario(exchanges: readonly Exchange[]): Exchange[] {
  // Of several, the first that gave it out.
  const scenarios = new Map(
    exchanges
      .toReversed()
      .map(({ scenario, response }) => [response?.headers['mcp-session-id'], scenario]),
  )
  scenarios.delete(undefined)
  return exchanges.map((exchange) => {
    const session = exchange.request.headers['mcp-session-id']
    return { ...exchange, scenario: scenarios.get(session) ?? exchange.scenario }
  })
}

function streamOf({ request }: Exchange): string | undefined {
  return request.method === 'GET' ? JSON.stringify(request.headers['mcp-session-id']) : undefined
}
