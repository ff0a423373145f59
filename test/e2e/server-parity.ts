// Owns what is promised of every real server behind the gateway: what is allowed is answered as by the server itself, what
// is denied is explained, recorded with its policies and never done. Starts nothing.
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { RPC } from '../../schemas/codes.ts'
import type { DecisionRow } from '../../schemas/decisions-api.ts'
import { META } from '../../schemas/mcp.ts'
import type { RealServers } from './real-servers.ts'

type Args = Readonly<Record<string, unknown>>
type Call = { readonly tool: string; readonly args: Args }
type Item = { readonly method: string; readonly params: Args }
type Denial = { readonly code: string; readonly policies: readonly string[] }

/** What mia does with one server. `REPOSITORY` in arguments is the folder of the git repositories. */
export type ServerRow = {
  readonly server: string
  /** Calls that are answered as by the server itself. */
  readonly reads: readonly Call[]
  /** Allowed calls that change something, made before `reads`; after them `look` finds `found`. */
  readonly writes?: readonly Call[]
  readonly done?: { readonly look: Look; readonly found: unknown }
  readonly denied: readonly (Call & Denial)[]
  /** What the denied calls would have changed. */
  readonly untouched?: Look
  /** Resources and prompts: what is answered as by the server itself, and what is not. */
  readonly items?: { readonly open: readonly Item[]; readonly shut: readonly Item[] }
}
type Look = (folder: string) => unknown

/** The reference server, whatever it is spoken to over. */
export function everythingRow(server: string): ServerRow {
  const prompt = { type: 'ref/prompt', name: 'completable-prompt' }
  return {
    server,
    reads: [
      { tool: 'echo', args: { message: 'hello' } },
      { tool: 'get-sum', args: { a: 1, b: 2.5 } },
      { tool: 'get-tiny-image', args: {} },
      { tool: 'get-structured-content', args: { location: 'Chicago' } },
      { tool: 'get-resource-links', args: { count: 2 } },
    ],
    denied: [
      { tool: 'get-env', args: {}, code: 'no_permit', policies: [] },
      { tool: 'echo', args: { message: 'a secret' }, code: 'forbid', policies: [`${server}/no-secrets`] },
      { tool: 'get-sum', args: { a: 'one', b: 2 }, code: 'invalid_request', policies: [] },
    ],
    items: {
      open: [
        { method: 'resources/read', params: { uri: 'demo://resource/static/document/features.md' } },
        { method: 'prompts/get', params: { name: 'simple-prompt' } },
      ],
      shut: [
        { method: 'resources/read', params: { uri: 'demo://resource/dynamic/text/1' } },
        { method: 'prompts/get', params: { name: 'args-prompt', arguments: { city: 'Bern' } } },
        { method: 'completion/complete', params: { ref: prompt, argument: { name: 'department', value: 'E' } } },
      ],
    },
  }
} // biome-ignore format: a table

const LISTS = [
  { capability: 'tools', method: 'tools/list', key: 'tools' },
  { capability: 'resources', method: 'resources/list', key: 'resources' },
  { capability: 'resources', method: 'resources/templates/list', key: 'resourceTemplates' },
  { capability: 'prompts', method: 'prompts/list', key: 'prompts' },
] as const

type Clients = { readonly direct: Client; readonly mia: Client; readonly real: RealServers }

/** Declares the tests of one server; `real` answers only while tests run. */
export function testServer(row: ServerRow, real: () => RealServers): void {
  let direct: Client
  let mia: Client
  beforeAll(async () => {
    const { server } = row
    ;[direct, mia] = await Promise.all([real().direct(server), real().through(server, 'mia')])
  })
  afterAll(() => mia?.close())
  const clients = (): Clients => ({ direct, mia, real: real() })
  testLists(row, clients)
  testCalls(row, clients)
  testItems(row, clients)
}

function testLists({ server, reads, writes = [], denied }: ServerRow, clients: () => Clients) {
  test('says of itself what it says directly', () => {
    const { direct, mia } = clients()
    expect(mia.getServerVersion()).toEqual(direct.getServerVersion())
    expect(mia.getServerCapabilities()).toEqual(direct.getServerCapabilities())
    expect(mia.getInstructions()).toEqual(direct.getInstructions())
  })
  test('everything is listed to who may do everything, as it is listed directly', async () => {
    const { direct, real } = clients()
    const olga = await real.through(server, 'olga')
    const lists = await listsOf(direct)
    expect(lists['tools/list']).not.toEqual([])
    expect(await listsOf(olga)).toEqual(lists)
    await olga.close()
  })
  test('a tool that nobody permits is not listed, all others stand in their order', async () => {
    const { direct, mia } = clients()
    const { 'tools/list': tools = [] } = await listsOf(direct)
    const { 'tools/list': shown = [] } = await listsOf(mia)
    const names = shown.map(nameOf)
    const forbidden = denied.filter(isOfArguments)
    const permitted = new Set([...reads, ...writes, ...forbidden].map(({ tool }) => tool))
    expect(new Set(names)).toEqual(new Set([...permitted, ...names]))
    expect(shown).toEqual(tools.filter((tool) => names.includes(nameOf(tool))))
    const hidden = denied.filter((it) => !isOfArguments(it)).map(({ tool }) => tool)
    expect(names.filter((name) => hidden.includes(name))).toEqual([])
  })
}

function testCalls(row: ServerRow, clients: () => Clients): void {
  const { server, reads, writes = [], done, denied, untouched } = row

  test('does what is allowed, and answers as it does directly', async () => {
    const { direct, mia, real } = clients()
    const errors = new Map<Call, boolean>()
    for (const write of writes.map((it) => placed(it, real))) {
      const answer = await call(mia, write)
      expect(answer['isError'] === true ? answer : 'done').toBe('done')
      errors.set(write, false)
    }
    expect(await done?.look(real.folder)).toEqual(done?.found)
    for (const read of reads.map((it) => placed(it, real))) {
      const answer = await call(mia, read)
      expect(answer).toEqual(await call(direct, read))
      errors.set(read, answer['isError'] === true)
    }
    for (const [wanted, isError] of errors) {
      const permitted = { verdict: 'allow', code: 'permit', policies: [`${server}/tools`] }
      const outcome = { result: 'forwarded', isError }
      expect(await recordOf(wanted, real, server)).toMatchObject({ ...permitted, outcome })
    }
  })
  test.each(denied)('does not do $tool $args: $code', async ({ code, policies, ...refused }) => {
    const { mia, real } = clients()
    const wanted = placed(refused, real)
    const before = await untouched?.(real.folder)
    const answer = await call(mia, wanted)
    const decision = { code, policies }
    expect(answer).toMatchObject({ isError: true, _meta: { [META.decision]: decision } })
    const record = await recordOf(wanted, real, server)
    expect(record).toMatchObject({ verdict: 'deny', ...decision, outcome: null })
    const [{ text }] = z.tuple([z.object({ text: z.string() })]).parse(answer['content'])
    for (const word of [record.id, ...policies]) expect(text).toContain(word)
    expect(await untouched?.(real.folder)).toEqual(before)
  })
}

function testItems({ server, items }: ServerRow, clients: () => Clients): void {
  const { open, shut } = items ?? { open: [], shut: [] }
  test.each(open)('$method $params: as directly', async ({ method, params }) => {
    const { direct, mia } = clients()
    expect(await ask(mia, method, params)).toEqual(await ask(direct, method, params))
  })
  test.each(shut)('$method $params: denied, and recorded so', async ({ method, params }) => {
    const { mia, real } = clients()
    const error: unknown = await ask(mia, method, params).catch((cause: unknown) => cause)
    expect(error).toMatchObject({ code: RPC.denied, data: { code: 'no_permit', policies: [] } })
    const { data } = z.object({ data: z.object({ decisionId: z.string() }) }).parse(error)
    const row = (await real.decisions('mia', server)).find(({ id }) => id === data.decisionId)
    expect(row).toMatchObject({ method, verdict: 'deny', code: 'no_permit', outcome: null })
  })
}

/** Every list of the server, by method. Items as texts: the order of keys counts too. */
export async function listsOf(client: Client): Promise<Readonly<Record<string, string[]>>> {
  const has = client.getServerCapabilities() ?? {}
  const lists = LISTS.filter(({ capability }) => capability in has).map(async ({ method, key }) => {
    const { [key]: found } = await ask(client, method)
    const texts = z.array(z.unknown()).parse(found).map((item) => JSON.stringify(item, null, 1))
    return [method, texts] as const
  })
  return Object.fromEntries(await Promise.all(lists))
} // biome-ignore format: long lines

/** The record of one call of mia's, with its outcome where it was allowed. */
function recordOf({ tool, args }: Call, real: RealServers, server: string): Promise<DecisionRow> {
  return vi.waitFor(async () => {
    const rows = await real.decisions('mia', server)
    const row = rows.find((it) => it.tool === tool && isDeepStrictEqual(it.arguments, args))
    if (row !== undefined && (row.verdict === 'deny' || row.outcome !== null)) return row
    throw new Error(`no record of how ${tool} ended`)
  }, 10_000)
}

function placed({ tool, args }: Call, { folder }: RealServers): Call {
  const text = JSON.stringify(args).replaceAll('REPOSITORY', join(folder, 'git'))
  return { tool, args: JSON.parse(text) as Args }
}

/** Whether a tool is permitted and only these arguments are not. */
function isOfArguments({ code }: Denial): boolean {
  return code === 'forbid' || code === 'invalid_request'
}

const nameOf = (tool: string): string => z.object({ name: z.string() }).parse(JSON.parse(tool)).name

const anything = z.record(z.string(), z.unknown())

function ask(client: Client, method: string, params: Args = {}) {
  return client.request({ method, params }, anything)
}

function call(client: Client, { tool, args }: Call) {
  return ask(client, 'tools/call', { name: tool, arguments: args })
}
