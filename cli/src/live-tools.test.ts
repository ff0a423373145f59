// Reading the tools of servers that are not like most: of the modern era alone, and one that nobody trusts yet.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { whyNoBubblewrap } from '../../pep/src/upstream/testing-isolation.ts'
import type { ToolsLock } from '../../schemas/bundle.ts'
import { META } from '../../schemas/mcp.ts'
import { runHere } from '../../test/harness/in-process.ts'
import {
  answerJson,
  messageOf,
  openTestUpstream,
  type TestUpstream,
} from '../../test/harness/upstream.ts'

const PATH = [dirname(process.execPath), '/usr/bin', '/bin'].join(delimiter)
const TOOLS = ['a', 'b'].map((name) => ({ name, inputSchema: { type: 'object' as const } }))
let bundle: string
let upstream: TestUpstream
beforeAll(async () => {
  upstream = await openTestUpstream(TOOLS)
})
beforeEach(async () => {
  bundle = await mkdtemp(join(tmpdir(), 'cedargate-live-'))
  await writeFile(join(bundle, 'gateway.yaml'), 'name: test\n')
  await addServer('web', `url: ${upstream.url}/mcp\n`)
  return async () => await rm(bundle, { recursive: true })
})
afterAll(async () => await upstream.close())

async function addServer(id: string, yaml: string): Promise<void> {
  await mkdir(join(bundle, 'servers', id), { recursive: true })
  await writeFile(join(bundle, 'servers', id, 'server.yaml'), yaml)
}
const env = () => ({ CEDARGATE_BUNDLE: bundle, CEDARGATE_HOME: bundle })
const run = (...words: string[]) => runHere(['tools', ...words], env())
const lockOf = async (server = 'web') =>
  JSON.parse(
    await readFile(join(bundle, 'servers', server, 'tools.lock.json'), 'utf8'),
  ) as ToolsLock

test.runIf(whyNoBubblewrap() === undefined)('a stranger’s server cannot read the gateway’s home', async () => {
  const home = join(bundle, 'home')
  await mkdir(join(home, 'keys'), { recursive: true })
  await writeFile(join(home, 'keys/data.key'), 'a secret')
  const script = `
    const { readdirSync } = require('node:fs')
    const look = () => { try { return readdirSync(${JSON.stringify(home)}).join() } catch (error) { return error.code } }
    require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
      const { id, method } = JSON.parse(line)
      const info = { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 's', version: '1' } }
      const tools = [{ name: 'look', description: 'found ' + look(), inputSchema: { type: 'object' } }]
      if (id !== undefined) console.log(JSON.stringify({ jsonrpc: '2.0', id, result: method === 'initialize' ? info : { tools } }))
    })`
  await addServer('stranger', `command: node\nargs: ${JSON.stringify(['-e', script])}\n`)
  const locked = async (isolation: string) => {
    const words = ['tools', 'lock', 'stranger']
    const own = { CEDARGATE_HOME: home, CEDARGATE_ISOLATION: isolation, PATH }
    const settings = { ...env(), ...own }
    const { code, stderr } = await runHere(words, settings)
    expect(stderr).toContain("holds 1 tools")
    expect(code).toBe(0)
    return (await lockOf('stranger')).tools[0]?.definition['description']
  }
  expect(await locked('bubblewrap')).toBe('found ')
  expect(await locked('off')).toBe('found keys')
}) // biome-ignore format: long lines

test('an isolation that is none is named', async () => {
  const words = ['tools', 'lock', 'web']
  const { code, stderr } = await runHere(words, { ...env(), CEDARGATE_ISOLATION: 'jail' })
  expect(code).toBe(2)
  expect(stderr).toContain('CEDARGATE_ISOLATION must be auto, bubblewrap')
})

test('a server of the modern era alone is locked too, exactly as it lists', async () => {
  upstream.answer = (request, response) => {
    const { id, method, params } = messageOf(request)
    const meta = params?.['_meta'] as Record<string, unknown> | undefined
    if (meta?.[META.protocolVersion] !== '2026-07-28') {
      const error = { code: -32601, message: 'Method not found' }
      response.writeHead(400, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ jsonrpc: '2.0', id, error }))
      return
    }
    const around = { resultType: 'complete', ttlMs: 0, cacheScope: 'private' }
    const discovered = {
      supportedVersions: ['2026-07-28'],
      capabilities: { tools: {} },
      serverInfo: { name: 'modern', version: '1' },
    }
    const result = method === 'server/discover' ? discovered : { tools: TOOLS }
    answerJson(response, { jsonrpc: '2.0', id, result: { ...around, ...result } })
  }
  expect((await run('lock', 'web')).code).toBe(0)
  const locked = (await lockOf()).tools.map(({ definition }) => definition)
  expect(locked).toEqual(TOOLS.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
  expect((await run('check')).code).toBe(0)
})
