// Owns what tests of the PEP stand on: a PDP that decides by a table and keeps the contract of
// schemas/pep-api.ts, real servers that count what reaches them, and a PEP on a real socket. Never
// part of a running gateway.
import { hash, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { delimiter, dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { request as ask } from 'undici'
import { canonicalJson } from '../../schemas/canonical-json.ts'
import type { VerdictCode } from '../../schemas/codes.ts'
import type { Sql } from '../../schemas/database/sql.ts'
import { formatToken } from '../../schemas/identifiers.ts'
import type { SignedRecord } from '../../schemas/leaf.ts'
import { META } from '../../schemas/mcp.ts'
import {
  type DecideCall,
  type DecideResult,
  decideRequest,
  decideResponse,
  definitionsRequest,
  type Outcome,
  outcomesRequest,
  type PepEvent,
  type Rejection,
  serversResponse,
  type Upstream,
  type Visible,
} from '../../schemas/pep-api.ts'
import { createPep, type Pep, type PepPorts } from './compose.ts'
import { listen } from './listen.ts'
import type { PdpPort } from './ports.ts'

export const BIN_DIRECTORY = fileURLToPath(new URL('../../node_modules/.bin', import.meta.url))

/** What the table says of a call: an allow, a deny, or that the caller is nobody. */
export type Ruling =
  | { readonly allow: true; readonly visible?: Visible }
  | { readonly deny: VerdictCode; readonly policies?: readonly string[]; readonly text?: string }
  | { readonly reject: Rejection['reason'] }

export type TestPdp = {
  readonly port: PdpPort
  readonly calls: DecideCall[]
  readonly outcomes: Outcome[]
  readonly definitions: Map<string, readonly string[]>
  /** Decides each call. */
  rule: (call: DecideCall) => Ruling
  /** Changes what is answered to `decide`; for what a broken PDP might say. */
  corrupt: (results: DecideResult[]) => unknown
  readonly tell: (event: PepEvent) => void
  /** Ends every event stream. */
  readonly hangUp: () => void
}

export const EVERYTHING_VISIBLE: Visible = { tools: [], resources: true, prompts: true }

/**
 * A PDP that serves `upstreams` and allows everything until told otherwise. Requests it does not
 * take throw.
 */
export function createTestPdp(upstreams: readonly Upstream[]): TestPdp {
  const listeners = new Set<(event: PepEvent | undefined) => void>()
  const pdp: TestPdp = {
    calls: [],
    outcomes: [],
    definitions: new Map(),
    rule: () => ({ allow: true, visible: EVERYTHING_VISIBLE }),
    corrupt: (results) => ({ results }),
    tell: (event) => listeners.forEach((listener) => listener(event)),
    hangUp: () => listeners.forEach((listener) => listener(undefined)),
    port: {
      post: (path, body) => Promise.resolve(take(pdp, path, body)),
      get: () => {
        const answer = { pep: 'pep-test', bundle: 'b'.repeat(64), servers: [...upstreams] }
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
    const results = calls.map((call) => decideOne(call, pdp.rule(call)))
    decideResponse.parse({ results })
    return { status: 200, body: JSON.stringify(pdp.corrupt(results)) }
  }
  if (path === '/pep/v1/outcomes') {
    pdp.outcomes.push(...outcomesRequest.parse(body).outcomes)
    return { status: 204, body: '' }
  }
  const { server, tools } = definitionsRequest.parse(body)
  pdp.definitions.set(
    server,
    tools.map(({ name }) => name),
  )
  return { status: 200, body: JSON.stringify({ tools: [] }) }
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

let lastSequence = 0

function decideOne(call: DecideCall, ruling: Ruling): DecideResult {
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
    decisionId,
    decision: allow ? 'allow' : 'deny',
    code,
    policies,
    text: allow ? '' : (ruling.text ?? `refused (${code}), decision ${decisionId}`),
    visible: allow ? (ruling.visible ?? null) : null,
    record: recordOf(call, decisionId, allow, code, policies),
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

const TOOLS = [{ name: 'echo', inputSchema: { type: 'object' } }]

function answerPlainly(request: Reached, response: ServerResponse): void {
  const { id, method } = parsed(request)
  if (id === undefined) {
    response.writeHead(202).end()
    return
  }
  answerJson(response, { id, result: method === 'tools/list' ? { tools: TOOLS } : {} })
}

export function httpUpstream(id: string, url: string): Upstream {
  return { id, transport: 'http', url, command: null, args: [], env: {}, cwd: null }
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

/** A token no PDP knows: the test PDP takes any that is spelled well. */
export function testToken(seed: number): string {
  return formatToken('grant', new Uint8Array(32).fill(seed), (text) => hash('sha256', text))
}

export function digestOf(token: string): string {
  return hash('sha256', token)
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
    pepKey: 'cgp_test',
    env: { PATH: [dirname(process.execPath), '/usr/bin', '/bin'].join(delimiter) },
    monotonic: () => performance.now(),
    uuid: randomUUID,
    log: pino({ level: 'silent' }),
    binDirectory: BIN_DIRECTORY,
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

export type Posted = {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly text: string
  readonly json: Rpc
}
export type Rpc = {
  readonly id?: unknown
  readonly result?: Record<string, unknown>
  readonly error?: { code: number; message: string; data: Record<string, unknown> }
}

/**
 * One message of a well-behaved client, answered whole; of an event stream, `json` is its last
 * event.
 */
export async function post(
  url: string,
  message: object,
  headers: Record<string, string> = {},
): Promise<Posted> {
  const response = await ask(url, {
    method: 'POST',
    headers: { ...clientHeaders(), ...headers },
    body: JSON.stringify({ jsonrpc: '2.0', ...message }),
  })
  const text = await response.body.text()
  const data = text.startsWith('{')
    ? text
    : (text
        .match(/^data: (.+)$/gm)
        ?.at(-1)
        ?.slice(6) ?? '{}')
  const json = JSON.parse(data) as Rpc
  return { status: response.statusCode, headers: response.headers, text, json }
}

export function clientHeaders(token: string = testToken(1)): Record<string, string> {
  return {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
  }
}

export function toolCall(name = 'echo', args: object = {}, id: string | number = 1): object {
  return { id, method: 'tools/call', params: { name, arguments: args } }
}

/** The same as a client of the modern era sends it: `_meta` and the headers that repeat it. */
export function modern(message: object): { message: object; headers: Record<string, string> } {
  const { method, params } = message as { method: string; params?: Record<string, unknown> }
  const name = params?.['name'] ?? params?.['uri']
  return {
    message: { ...message, params: { ...params, _meta: { [META.protocolVersion]: '2026-07-28' } } },
    headers: {
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      ...(typeof name === 'string' ? { 'mcp-name': name } : {}),
    },
  }
}

/** Waits until `check` holds. Throws after 5 s. */
export async function until(check: () => boolean): Promise<void> {
  for (const start = performance.now(); !check(); await sleep(10)) {
    if (performance.now() - start > 5_000) throw new Error('it did not come to be within 5 s')
  }
}
