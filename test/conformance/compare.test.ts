// The comparator notices what a gateway could do wrong: each row breaks one thing in recorded runs that do not differ.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { compareRuns } from './compare.ts'
import type { Exchange } from './exchange.ts'
import { REWRITES } from './rewrites.ts'
import type { Seen } from './run.ts'

type Recorded = { readonly direct: Seen; readonly through: Seen }

const text = readFileSync(join(import.meta.dirname, 'sample.json'), 'utf8')
const recorded = (): Recorded => {
  const { direct, through } = JSON.parse(text) as Recorded
  return { direct: { ...direct, upstream: direct.client }, through }
}

type Side = 'client' | 'upstream'
type Change = (exchange: Exchange) => Exchange | readonly Exchange[]

/** `through` with the first exchange of that scenario and side that holds `mark` changed. */
function broken(scenario: string, side: Side, mark: string, change: Change): Recorded {
  const { direct, through } = recorded()
  const holds = ({ scenario: own, request, response }: Exchange): boolean => {
    const names = Object.keys(request.headers).join(' ')
    const said = [request.method, names, request.body, response?.body].join('\n')
    return own === scenario && said.includes(mark)
  }
  const at = through[side].findIndex(holds)
  expect(at).toBeGreaterThanOrEqual(0)
  const changed = through[side].flatMap((one, index) => (index === at ? change(one) : [one]))
  return { direct, through: { ...through, [side]: changed } }
}

const inRequest =
  (change: (request: Exchange['request']) => object): Change =>
  (exchange) => ({ ...exchange, request: { ...exchange.request, ...change(exchange.request) } })

const inAnswer =
  (change: (response: NonNullable<Exchange['response']>) => object): Change =>
  (exchange) => {
    const { response } = exchange
    return response === undefined
      ? exchange
      : { ...exchange, response: { ...response, ...change(response) } }
  }

const without =
  (name: string) =>
  ({ headers }: Pick<Exchange['request'], 'headers'>) => {
    expect(headers).toHaveProperty(name)
    return { headers: Object.fromEntries(Object.entries(headers).filter(([own]) => own !== name)) }
  }

const inBody = (from: string | RegExp, to: string) =>
  inAnswer(({ body }) => {
    expect(body).toMatch(from)
    return { body: body.replace(from, to) }
  })

test('what was recorded does not differ', () => {
  const { direct, through } = recorded()
  const { differences, compared } = compareRuns(direct, through)
  expect(differences).toEqual([])
  expect(compared).toBe(direct.checks.length + 2 * direct.client.length)
  expect(compared).toBeGreaterThan(60)
})

const SAMPLING = 'tools-call-sampling'
const POLLING = 'server-sse-polling'
const STATE = 'input-required-result-request-state'

/** What the server gave out as its state, in the run through the gateway. */
function ownState(): string {
  const bodies = recorded().through.upstream.map(({ response }) => response?.body ?? '')
  return /"requestState":"([^"]+)"/.exec(bodies.join('\n'))?.[1] ?? ''
}

test.each<{ name: string; of: () => Recorded; where: RegExp }>([
  { name: 'a header of the protocol is not sent on', where: /^headers of the request, exchange 2 of the server/, of: () => broken(SAMPLING, 'upstream', 'notifications/initialized', inRequest(without('mcp-protocol-version'))) },
  { name: 'the token reaches the server', where: /^headers of the request/, of: () => broken(SAMPLING, 'upstream', 'tools/call', inRequest(({ headers }) => ({ headers: { ...headers, authorization: 'Bearer x' } }))) },
  { name: 'a header of the answer is lost', where: /^headers of the answer, exchange 1 of the client/, of: () => broken(SAMPLING, 'client', 'initialize', inAnswer(without('cache-control'))) },
  { name: 'a header of the answer is new', where: /^headers of the answer/, of: () => broken(SAMPLING, 'client', 'tools/call', inAnswer(({ headers }) => ({ headers: { ...headers, server: 'x' } }))) },
  { name: 'the decision is not told', where: /^headers of the answer/, of: () => broken('resources-list', 'client', 'resources/list', inAnswer(without('cedargate-decision'))) },
  { name: 'a message to the server is altered', where: /^the requests that the server saw/, of: () => broken(SAMPLING, 'upstream', 'tools/call', inRequest(({ body }) => ({ body: body.replace('Test prompt', 'test prompt') }))) },
  { name: 'a message does not reach the server', where: /^the requests that the server saw/, of: () => broken(SAMPLING, 'upstream', 'notifications/initialized', () => []) },
  { name: 'a message reaches the server twice', where: /^the requests that the server saw/, of: () => broken(SAMPLING, 'upstream', 'tools/call', (one) => [one, one]) },
  { name: 'the server sees what nobody sent', where: /^the requests that the server saw/, of: () => broken(SAMPLING, 'upstream', 'tools/call', (one) => [one, { ...one, scenario: 'none' }]) },
  { name: 'what must be refused reaches the server', where: /^the requests that the server saw/, of: () => broken('dns-rebinding-protection', 'upstream', 'initialize', (one) => [one, one]) },
  { name: 'an answer is altered', where: /^body of the answer, exchange 3 of the client: POST tools\/call/, of: () => broken(SAMPLING, 'client', 'tools/call', inBody('LLM response', 'LLM Response')) },
  { name: 'a request of the server is altered', where: /^body of the answer/, of: () => broken(SAMPLING, 'client', 'tools/call', inBody('"maxTokens":100', '"maxTokens":99')) },
  { name: 'events come in another order', where: /^body of the answer/, of: () => broken(SAMPLING, 'client', 'tools/call', inAnswer(({ body }) => ({ body: `${body.split('\n\n').slice(0, -1).toReversed().join('\n\n')}\n\n` }))) },
  { name: 'an event is withheld', where: /^body of the answer/, of: () => broken(SAMPLING, 'client', 'tools/call', inAnswer(({ body }) => ({ body: `${body.split('\n\n').slice(0, -2).join('\n\n')}\n\n` }))) },
  { name: 'an event is made up', where: /^body of the answer/, of: () => broken(SAMPLING, 'client', 'tools/call', inAnswer(({ body }) => ({ body: `${body}data: {}\n\n` }))) },
  { name: '`id:` is withheld', where: /^body of the answer/, of: () => broken(POLLING, 'client', 'test_reconnection', inBody(/^id: .*\n/m, '')) },
  { name: '`retry:` is withheld', where: /^body of the answer/, of: () => broken(POLLING, 'client', 'test_reconnection', inBody(/^retry: .*\n/m, '')) },
  { name: '`retry:` is written otherwise', where: /^body of the answer/, of: () => broken(POLLING, 'client', 'test_reconnection', inBody('retry: 50', 'retry:50')) },
  { name: 'a comment is made up', where: /^body of the answer/, of: () => broken(POLLING, 'client', 'test_reconnection', inBody('id:', ': hello\nid:')) },
  { name: 'another event is resumed after', where: /^headers of the request/, of: () => broken(POLLING, 'upstream', 'last-event-id', inRequest(({ headers }) => ({ headers: { ...headers, 'last-event-id': 'event-1' } }))) },
  { name: 'a stream is not answered', where: /^answer, exchange 1 of the client: POST initialize/, of: () => broken(POLLING, 'client', 'initialize', (one) => ({ ...one, response: undefined })) },
  { name: 'an answer breaks off', where: /^end of the answer/, of: () => broken(SAMPLING, 'client', 'tools/call', inAnswer(() => ({ ended: 'broken' }))) },
  { name: 'the status is another one', where: /^status/, of: () => broken(SAMPLING, 'client', '"result":{"model"', inAnswer(() => ({ status: 200 }))) },
  { name: 'the session is another one', where: /^headers of the request/, of: () => broken(SAMPLING, 'upstream', 'tools/call', inRequest(({ headers }) => ({ headers: { ...headers, 'mcp-session-id': 'x' } }))) },
  { name: 'an answer has another id', where: /^body of the answer/, of: () => broken('prompts-list', 'client', 'prompts/list', inBody(/"id":1\b/, '"id":7')) },
  { name: 'a list may be cached for everybody', where: /^body of the answer/, of: () => broken('resources-list', 'client', 'resources/list', inBody('"private"', '"public"')) },
  { name: 'a list may be kept for long', where: /^body of the answer/, of: () => broken('resources-list', 'client', 'resources/list', inBody('"ttlMs":5000', '"ttlMs":3600000')) },
  { name: 'something is hidden from a list', where: /^body of the answer/, of: () => broken('resources-list', 'client', 'resources/list', inBody(/\{"uri":"test:\/\/static-text"[^}]*\},/, '')) },
  { name: 'a list is in another order', where: /^body of the answer/, of: () => broken('resources-list', 'client', 'resources/list', inBody(/(\{"uri":"test:\/\/static-text"[^}]*\}),(\{[^}]*\})/, '$2,$1')) },
  { name: 'a tool is described otherwise', where: /^body of the answer/, of: () => broken('tools-list', 'client', 'tools/list', inBody('Answers a sound', 'Answers')) },
  { name: 'a keyword of a schema is lost', where: /^body of the answer/, of: () => broken('tools-list', 'client', 'tools/list', inBody('"$anchor":"addressDef",', '')) },
  { name: 'a refusal has another status', where: /^status/, of: () => broken('dns-rebinding-protection', 'client', '"requestId"', inAnswer(() => ({ status: 400 }))) },
  { name: 'a state comes back as another one', where: /^the requests that the server saw/, of: () => broken(STATE, 'upstream', '"inputResponses"', inRequest(({ body }) => ({ body: body.replace(/"requestState":"[^"]+"/, '"requestState":"x"') }))) },
  { name: 'a state is the server’s own', where: /^requestState is not bound/, of: () => broken(STATE, 'client', 'input_required', inBody(/("requestState":")[^"]+/, `$1${ownState()}`)) },
  { name: 'the client gives up', where: /went another way/, of: () => broken(SAMPLING, 'client', 'tools/call', () => []) },
  { name: 'the client does more', where: /went another way/, of: () => broken('prompts-list', 'client', 'DELETE', (one) => [one, one]) },
])('$name', ({ of, where }) => {
  const { direct, through } = of()
  const { differences } = compareRuns(direct, through)
  expect(differences.map((difference) => difference.where)).toContainEqual(expect.stringMatching(where))
  for (const { direct: wanted, through: got } of differences) expect(wanted).not.toBe(got)
}) // biome-ignore format: a table

test.each<{ name: string; scenario: string; from: string; to: string; differs: boolean }>([
  { name: 'one that fails', scenario: 'prompts-list', from: 'SUCCESS', to: 'FAILURE', differs: true },
  { name: 'one that warns', scenario: 'prompts-list', from: 'SUCCESS', to: 'WARNING', differs: true },
  { name: 'one that passes only through the gateway', scenario: 'prompts-list', from: 'FAILURE', to: 'SUCCESS', differs: true },
  { name: 'the one that may', scenario: 'dns-rebinding-protection', from: 'FAILURE', to: 'SUCCESS', differs: false },
  { name: 'the one that may not fail', scenario: 'dns-rebinding-protection', from: 'SUCCESS', to: 'FAILURE', differs: true },
])('checks: $name', ({ scenario, from, to, differs }) => {
  const { direct, through } = recorded()
  const told = (run: Seen, status: string) => {
    const checks = run.checks.map((check) => (check.scenario === scenario ? { ...check, status } : check))
    return { ...run, checks } as Seen
  }
  const { differences } = compareRuns(told(direct, from), told(through, to))
  expect(differences.length > 0).toBe(differs)
}) // biome-ignore format: a table

test('a check that is not made any more differs', () => {
  const { direct, through } = recorded()
  const checks = through.checks.filter(({ scenario }) => scenario !== 'prompts-list')
  expect(compareRuns(direct, { ...through, checks }).differences).not.toEqual([])
})

test('a client that left early may have seen less, and a GET stream nothing; not all of them', () => {
  const left = broken(SAMPLING, 'client', 'tools/call', inAnswer(({ body }) => ({ ended: 'left', body: body.slice(0, -100) })))
  expect(compareRuns(left.direct, left.through).differences).toEqual([])
  const gone = broken(SAMPLING, 'client', 'GET', (one) =>
    one.request.method === 'GET' ? { ...one, response: undefined } : one,
  )
  expect(compareRuns(gone.direct, gone.through).differences).toEqual([])
  const isLate = ({ scenario, request }: Exchange) => scenario === SAMPLING && request.method === 'GET'
  const [late = [], rest = []] = [true, false].map((wanted) => gone.through.upstream.filter((one) => isLate(one) === wanted))
  expect(late).toHaveLength(1)
  const upstream = [...rest, ...late.map((one) => ({ ...one, scenario: 'server-sse-polling' }))]
  expect(compareRuns(gone.direct, { ...gone.through, upstream }).differences).toEqual([])
  const { direct, through } = recorded()
  const client = through.client.map((one) => (one.request.method === 'GET' ? { ...one, response: undefined } : one))
  expect(compareRuns(direct, { ...through, client }).differences.map(({ where }) => where)).toContain('GET streams')
}) // biome-ignore format: long lines

test('every rewrite is needed, has one name and says why', () => {
  expect(new Set(REWRITES.map(({ name }) => name)).size).toBe(REWRITES.length)
  for (const { why } of REWRITES) expect(why.length).toBeGreaterThan(20)
  const { direct, through } = recorded()
  const needless = REWRITES.filter((one) => {
    const others = REWRITES.filter((rewrite) => rewrite !== one)
    return compareRuns(direct, through, others).differences.length === 0
  })
  expect(needless).toEqual([])
})
