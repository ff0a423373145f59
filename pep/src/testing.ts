// Owns what tests of the PEP stand on: a PDP that decides by a table and keeps the contract of
// schemas/pep-api.ts, real servers that count what reaches them, and a PEP on a real socket. Never
// part of a running gateway.
import { hash, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { delimiter, dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import type { z } from 'zod'
import { canonicalJson } from '../../schemas/canonical-json.ts'
import type { VerdictCode } from '../../schemas/codes.ts'
import type { ReleasedCredential } from '../../schemas/credentials.ts'
import type { Sql } from '../../schemas/database/sql.ts'
import type { SignedRecord } from '../../schemas/leaf.ts'
import {
  type DecideCall,
  type DecideResult,
  decideRequest,
  decideResponse,
  definitionsRequest,
  type IdentifyRequest,
  type IdentifyResponse,
  identifyRequest,
  identifyResponse,
  type ListRequest,
  listRequest,
  listResponse,
  type Outcome,
  outcomesRequest,
  type PepEvent,
  type Rejection,
  reviewedResponse,
  serversResponse,
  type sightingsResponse,
  type Upstream,
  type Visible,
} from '../../schemas/pep-api.ts'
import { createPep, type Pep, type PepPorts } from './compose.ts'
import { readDefinition } from './definition.ts'
import { listen } from './listen.ts'
import type { PdpPort } from './ports.ts'
import { grantOfDigest, grantOfJwt } from './testing-client.ts'
import { unisolated } from './upstream/child.ts'

export * from './testing-client.ts'
export * from './testing-credential.ts'

export const BIN_DIRECTORY = fileURLToPath(new URL('../../node_modules/.bin', import.meta.url))

/** What the table says of a call: an allow, a deny, or that the caller is nobody. */
export type Ruling =
  | { readonly allow: true; readonly visible?: Visible; readonly credential?: ReleasedCredential }
  | { readonly deny: VerdictCode; readonly policies?: readonly string[]; readonly text?: string }
  | { readonly reject: Rejection['reason'] }

export type TestPdp = {
  readonly port: PdpPort
  readonly calls: DecideCall[]
  /** Every `identify`, in order. */
  readonly identified: IdentifyRequest[]
  readonly outcomes: Outcome[]
  readonly definitions: Map<string, readonly string[]>
  /** Every body of `definitions`, in order. */
  readonly told: z.infer<typeof definitionsRequest>[]
  /** Definitions that were reviewed, of any server; null: the PDP does not say. */
  reviewed: readonly TestTool[] | null
  /** Fingerprints it has whole; it wants all others. */
  readonly kept: Set<string>
  /** What the lists of a caller show. */
  lists: (caller: ListRequest['callers'][number]) => Visible | null
  /** Whose token it is; `decide` and `identify` go by it. */
  identify: (asked: Pick<IdentifyRequest, 'token' | 'jwt'>) => IdentifyResponse
  /** Decides each call. */
  rule: (call: DecideCall) => Ruling
  /** Changes what is answered to `decide`; for what a broken PDP might say. */
  corrupt: (results: DecideResult[]) => unknown
  readonly tell: (event: PepEvent) => void
  /** Ends every event stream. */
  readonly hangUp: () => void
}

const BINDING_KEY = Buffer.alloc(32, 1).toString('base64url')
export const EVERYTHING_VISIBLE: Visible = { tools: [], resources: true, prompts: true }

/**
 * A PDP that serves `upstreams` and allows everything until told otherwise. Requests it does not
 * take throw.
 */
export function createTestPdp(upstreams: readonly Upstream[]): TestPdp {
  const listeners = new Set<(event: PepEvent | undefined) => void>()
  const pdp: TestPdp = {
    calls: [],
    identified: [],
    outcomes: [],
    definitions: new Map(),
    told: [],
    reviewed: TOOLS,
    kept: new Set(),
    lists: () => EVERYTHING_VISIBLE,
    identify: ({ token, jwt }) => ({
      grant: jwt === null ? grantOfDigest(token) : grantOfJwt(jwt),
    }),
    rule: () => ({ allow: true, visible: EVERYTHING_VISIBLE }),
    corrupt: (results) => ({ results }),
    tell: (event) => listeners.forEach((listener) => listener(event)),
    hangUp: () => listeners.forEach((listener) => listener(undefined)),
    port: {
      post: (path, body) => Promise.resolve(take(pdp, path, body)),
      get: (path) => {
        if (path.startsWith('/pep/v1/definitions?')) return Promise.resolve(reviewedBy(pdp))
        const keys = upstreams.map(({ id }) => ({ server: id, id: 'test', key: BINDING_KEY }))
        const bundle = 'b'.repeat(64)
        const answer = { pep: 'pep-test', bundle, servers: [...upstreams], keys }
        return Promise.resolve({ status: 200, body: JSON.stringify(serversResponse.parse(answer)) })
      },
      events: (signal) => eventsOf(listeners, signal),
      close: () => Promise.resolve(),
    },
  }
  return pdp
}

function take(pdp: TestPdp, path: string, text: string): { status: number; body: string } {
  const body: unknown = JSON.parse(text)
  if (path === '/pep/v1/decide') {
    const { calls } = decideRequest.parse(body)
    pdp.calls.push(...calls)
    const results = calls.map((call) => decideOne(call, grantFor(pdp, call), pdp.rule(call)))
    decideResponse.parse({ results })
    return { status: 200, body: JSON.stringify(pdp.corrupt(results)) }
  }
  if (path === '/pep/v1/identify') {
    const asked = identifyRequest.parse(body)
    pdp.identified.push(asked)
    return { status: 200, body: JSON.stringify(identifyResponse.parse(pdp.identify(asked))) }
  }
  if (path === '/pep/v1/list') {
    const { callers } = listRequest.parse(body)
    const answer = listResponse.parse({ visible: callers.map((caller) => pdp.lists(caller)) })
    return { status: 200, body: JSON.stringify(answer) }
  }
  if (path === '/pep/v1/outcomes') {
    pdp.outcomes.push(...outcomesRequest.parse(body).outcomes)
    return { status: 204, body: '' }
  }
  const request = definitionsRequest.parse(body)
  pdp.told.push(request)
  if (!('tools' in request)) {
    for (const { sha256 } of request.contents) pdp.kept.add(sha256)
    return { status: 204, body: '' }
  }
  const { server, look, tools } = request
  const names = tools.map(({ name }) => name)
  if (look) pdp.definitions.set(server, names)
  const answer: z.infer<typeof sightingsResponse> = {
    tools: tools.map(({ name, sha256 }) => {
      return { name, state: 'unknown', wanted: !pdp.kept.has(sha256) }
    }),
  }
  return { status: 200, body: JSON.stringify(answer) }
}

function reviewedBy({ reviewed }: TestPdp): { status: number; body: string } {
  if (reviewed === null) return { status: 503, body: '{}' }
  const byName = Map.groupBy(reviewed, ({ name }) => name)
  const tools = [...byName].map(([name, definitions]) => ({
    name,
    variants: definitions.map((definition) => {
      return { sha256: readDefinition(definition).sha256, definition }
    }),
  }))
  const answer = reviewedResponse.parse({ bundle: 'b'.repeat(64), tools })
  return { status: 200, body: JSON.stringify(answer) }
}

async function* eventsOf(
  listeners: Set<(event: PepEvent | undefined) => void>,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  const queue: (PepEvent | undefined)[] = []
  let wake: (() => void) | undefined
  const listener = (event: PepEvent | undefined) => {
    queue.push(event)
    wake?.()
  }
  signal.addEventListener('abort', () => listener(undefined))
  listeners.add(listener)
  yield Buffer.from(': still here\n\n')
  for (;;) {
    while (queue.length > 0) {
      const event = queue.shift()
      if (event === undefined) {
        listeners.delete(listener)
        return
      }
      yield Buffer.from(`event: ${event.kind}\ndata: ${JSON.stringify(event)}\n\n`)
    }
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  }
}

function grantFor(pdp: TestPdp, { token, jwt }: DecideCall): string | null {
  return token === null ? null : pdp.identify({ token, jwt }).grant
}

let lastSequence = 0

function decideOne(call: DecideCall, grant: string | null, ruling: Ruling): DecideResult {
  const { requestId, server } = call
  if ('reject' in ruling) return { kind: 'rejection', requestId, reason: ruling.reject }
  const decisionId = randomUUID()
  const allow = 'allow' in ruling
  const code = allow ? 'permit' : ruling.deny
  const policies = allow ? ['test/permit'] : [...(ruling.policies ?? [])]
  return {
    kind: 'verdict',
    requestId,
    server,
    messageDigest: hash('sha256', call.message),
    grant,
    decisionId,
    decision: allow ? 'allow' : 'deny',
    code,
    policies,
    text: allow ? '' : (ruling.text ?? `refused (${code}), decision ${decisionId}`),
    visible: allow ? (ruling.visible ?? null) : null,
    record: recordOf(call, decisionId, allow, code, policies),
    ...(allow && ruling.credential !== undefined ? { credential: ruling.credential } : {}),
  }
}

function recordOf(
  { server, method }: DecideCall,
  id: string,
  allow: boolean,
  code: VerdictCode,
  by: string[],
): SignedRecord {
  const digest = 'a'.repeat(64)
  const commitment = Buffer.alloc(32).toString('base64')
  const c = { sub: commitment, req: commitment, args: commitment, ctx: commitment }
  const leaf = canonicalJson({
    ag: 'agent',
    b: digest,
    c: { ...c, ent: commitment, idt: commitment },
    cd: code,
    cls: 'recorded',
    dc: { r: allow ? 'allow' : 'deny', by, er: [] },
    eng: { n: 'test', v: '0', h: digest },
    ep: '00000000-0000-4000-8000-000000000000',
    id,
    k: 'decision',
    mode: 'enforced',
    mt: method,
    pdp: 'pdp-test',
    pep: 'pep-test',
    ps: { d: digest, s: digest, i: null, m: digest },
    pv: '',
    sq: lastSequence++,
    sv: server,
    t: Date.now(),
    td: null,
    tl: null,
    v: 1,
  })
  const leafHash = hash('sha256', Buffer.concat([Buffer.of(0), Buffer.from(leaf)]))
  return { leaf, hash: leafHash, sig: commitment, person: null, detail: null }
}

/** One request that reached a server. */
export type Reached = {
  readonly method: string
  readonly headers: IncomingMessage['headers']
  readonly rawHeaders: readonly string[]
  readonly body: string
}

export type TestUpstream = {
  readonly upstream: Upstream
  readonly reached: Reached[]
  answer: (request: Reached, response: ServerResponse) => void
  readonly close: () => Promise<void>
}

/**
 * A server over plain node:http that answers with what `answer` says; by default it has one tool,
 * `echo`.
 */
export async function openTestUpstream(id: string): Promise<TestUpstream> {
  const reached: Reached[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { method = '', headers, rawHeaders } = request
      const one = { method, headers, rawHeaders, body: Buffer.concat(chunks).toString() }
      reached.push(one)
      upstream.answer(one, response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const upstream: TestUpstream = {
    upstream: httpUpstream(id, `http://127.0.0.1:${port}/mcp`),
    reached,
    answer: answerPlainly,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return upstream
}

export type TestTool = { readonly name: string; readonly [member: string]: unknown }
const TOOLS: readonly TestTool[] = [{ name: 'echo', inputSchema: { type: 'object' } }]

function answerPlainly(request: Reached, response: ServerResponse): void {
  const { id, method } = parsed(request)
  if (id === undefined) {
    response.writeHead(202).end()
    return
  }
  answerJson(response, { id, result: method === 'tools/list' ? { tools: TOOLS } : {} })
}

export function httpUpstream(id: string, url: string): Upstream {
  const none = { command: null, args: [], env: {}, cwd: null, writable: null }
  return { id, transport: 'http', url, ...none, instructions: 'withhold' }
}

/** The message that arrived; empty without a body. */
export function parsed({ body }: Reached): { id?: unknown; method?: string } {
  return body === '' ? {} : (JSON.parse(body) as { id?: unknown; method?: string })
}

export function answerJson(response: ServerResponse, message: object): void {
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ jsonrpc: '2.0', ...message }))
}

export function answerEvents(response: ServerResponse, ...messages: readonly object[]): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const message of messages) {
    response.write(`event: message\ndata: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`)
  }
  response.end()
}

/** A database of nothing but a list; for tests that are about something else. */
export function countingSql(): Sql & { readonly statements: (readonly unknown[])[] } {
  const statements: (readonly unknown[])[] = []
  return {
    dialect: 'pglite',
    statements,
    query(_text, params = []) {
      statements.push(params)
      return Promise.resolve([])
    },
  }
}

export type RunningTestPep = {
  readonly pep: Pep
  readonly url: string
  readonly port: number
  readonly close: () => Promise<void>
}

/** A whole PEP on a free loopback port, ready. */
export async function startTestPep(
  ports: Pick<PepPorts, 'pdp' | 'sql'> & Partial<PepPorts>,
): Promise<RunningTestPep> {
  const pep = createPep({
    env: { PATH: [dirname(process.execPath), '/usr/bin', '/bin'].join(delimiter) },
    monotonic: () => performance.now(),
    now: Date.now,
    uuid: randomUUID,
    log: pino({ level: 'silent' }),
    binDirectory: BIN_DIRECTORY,
    isolation: unisolated,
    ...ports,
  })
  await pep.ready()
  const listening = await listen(pep.app, '127.0.0.1', 0)
  return {
    pep,
    port: listening.port,
    url: `http://127.0.0.1:${listening.port}`,
    close: async () => {
      const closed = listening.close(1_000)
      await pep.stop()
      await closed
    },
  }
}
