// Owns what is promised of every real server behind the gateway: what is allowed is answered as by the server itself, what
// is denied is explained, recorded with its policies and never done. Starts nothing.
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { z } from 'zod'
import type { DecisionRow } from '../../schemas/admin-api.ts'
import { RPC } from '../../schemas/codes.ts'
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

/** Declares the tests of one server; `real` answers only while tests run. */
export function testServer(row: ServerRow, real: () => RealServers): void {
  const { server, items = { open: [], shut: [] } } = row
  let direct: Client
  let mia: Client
  beforeAll(async () => {
    ;[direct, mia] = await Promise.all([real().direct(server), real().through(server, 'mia')])
  })
  afterAll(() => mia.close())
  const clients = () => ({ direct, mia })

  test('says of itself what it says directly', () => {
    expect(mia.getServerVersion()).toEqual(direct.getServerVersion())
    expect(mia.getServerCapabilities()).toEqual(direct.getServerCapabilities())
  })
  test('everything is listed to who may do everything, as it is listed directly', async () => {
    const olga = await real().through(server, 'olga')
    await expectSameLists(olga, direct)
    await olga.close()
  })
  test('a tool that nobody permits is not listed, all others stand in their order', async () => {
    const tools = await listed(direct, 'tools/list', 'tools')
    const shown = await listed(mia, 'tools/list', 'tools')
    const permitted = new Set(
      [...row.reads, ...(row.writes ?? []), ...row.denied.filter(isOfArguments)].map(toolOf),
    )
    const names = shown.map(nameOf)
    expect(names).toEqual(expect.arrayContaining([...permitted]))
    expect(shown).toEqual(tools.filter((tool) => names.includes(nameOf(tool))))
    for (const { tool } of row.denied.filter((it) => !isOfArguments(it)))
      expect(names).not.toContain(tool)
  })
  test('does what is allowed, and answers as it does directly', async () => {
    await expectAllowed(row, real(), clients())
  })
  test.each(row.denied)('does not do $tool $args: $code', (denied) =>
    expectDenied({ row, denied }, real(), mia),
  )
  test.each(items.open)('$method $params: as directly', async ({ method, params }) => {
    expect(await ask(mia, method, params)).toEqual(await ask(direct, method, params))
  })
  test.each(items.shut)('$method $params: denied, and recorded so', async ({ method, params }) => {
    await expectShut({ method, params }, { real: real(), server, mia })
  })
}

/** Every list of the server, item by item and key by key. */
export async function expectSameLists(through: Client, direct: Client): Promise<void> {
  const has = direct.getServerCapabilities() ?? {}
  for (const { method, key } of LISTS.filter(({ capability }) => capability in has)) {
    const items = await listed(direct, method, key)
    expect(await listed(through, method, key)).toEqual(items)
    if (method === 'tools/list') expect(items.length).toBeGreaterThan(0)
  }
}

async function expectAllowed(
  { server, reads, writes = [], done }: ServerRow,
  real: RealServers,
  { direct, mia }: { readonly direct: Client; readonly mia: Client },
): Promise<void> {
  const errors = new Map<Call, boolean>()
  for (const write of writes.map((it) => placed(it, real))) {
    const answer = await call(mia, write)
    expect(answer['isError'] === true ? answer : 'done').toBe('done')
    errors.set(write, false)
  }
  if (done !== undefined) expect(await done.look(real.folder)).toEqual(done.found)
  for (const read of reads.map((it) => placed(it, real))) {
    const answer = await call(mia, read)
    expect(answer).toEqual(await call(direct, read))
    errors.set(read, answer['isError'] === true)
  }
  for (const [wanted, isError] of errors) {
    const outcome = { result: 'forwarded', isError }
    const permitted = { verdict: 'allow', code: 'permit', policies: [`${server}/tools`] }
    expect(await recordOf(wanted, real, server)).toMatchObject({ ...permitted, outcome })
  }
}

async function expectDenied(
  { row, denied }: { readonly row: ServerRow; readonly denied: Call & Denial },
  real: RealServers,
  mia: Client,
): Promise<void> {
  const { code, policies } = denied
  const wanted = placed(denied, real)
  const before = await row.untouched?.(real.folder)
  const answer = await call(mia, wanted)
  expect(answer).toMatchObject({ isError: true, _meta: { [META.decision]: { code, policies } } })
  const record = await recordOf(wanted, real, row.server)
  expect(record).toMatchObject({ verdict: 'deny', code, policies, outcome: null })
  const [{ text }] = z.tuple([z.object({ text: z.string() })]).parse(answer['content'])
  for (const word of [record.id, ...policies]) expect(text).toContain(word)
  expect(await row.untouched?.(real.folder)).toEqual(before)
}

async function expectShut(
  { method, params }: Item,
  { real, server, mia }: { real: RealServers; server: string; mia: Client },
): Promise<void> {
  const error: unknown = await ask(mia, method, params).catch((cause: unknown) => cause)
  expect(error).toMatchObject({ code: RPC.denied, data: { code: 'no_permit', policies: [] } })
  const { data } = z.object({ data: z.object({ decisionId: z.string() }) }).parse(error)
  const row = (await real.decisions('mia', server)).find(({ id }) => id === data.decisionId)
  expect(row).toMatchObject({ method, verdict: 'deny', code: 'no_permit', outcome: null })
}

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

const toolOf = ({ tool }: Call): string => tool
const nameOf = (tool: string): string => z.object({ name: z.string() }).parse(JSON.parse(tool)).name

const anything = z.record(z.string(), z.unknown())

function ask(client: Client, method: string, params: Args = {}) {
  return client.request({ method, params }, anything)
}

function call(client: Client, { tool, args }: Call) {
  return ask(client, 'tools/call', { name: tool, arguments: args })
}

/** As texts: the order of keys counts too. */
async function listed(client: Client, method: string, key: string): Promise<string[]> {
  const { [key]: items } = await ask(client, method)
  return z.array(z.unknown()).parse(items).map((item) => JSON.stringify(item, null, 1))
} // biome-ignore format: long lines
