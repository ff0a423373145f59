// Reviewing the tools of servers that want a secret: it is shown to that server alone, in the way it was given for, and
// nothing of it is kept.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ToolDefinition } from '../../schemas/bundle.ts'
import { META } from '../../schemas/mcp.ts'
import { runHere } from '../../test/harness/in-process.ts'
import { answerJson, messageOf, openTestUpstream, type Reached, type TestUpstream } from '../../test/harness/upstream.ts' // biome-ignore format: long

const SECRET = 'hunter2"canary'
const BASIC = `carol:${SECRET}`
const TOOL: ToolDefinition = { name: 'look', inputSchema: { type: 'object' } }
const PATH = [dirname(process.execPath), '/usr/bin', '/bin'].join(delimiter)

let bundle: string
let upstream: TestUpstream
let elsewhere: TestUpstream
const at = (name: string): string => join(bundle, name)
beforeAll(async () => {
  upstream = await openTestUpstream([TOOL])
  elsewhere = await openTestUpstream([TOOL])
})
beforeEach(async () => {
  upstream.reset()
  elsewhere.reset()
  bundle = await mkdtemp(join(tmpdir(), 'cedargate-presented-'))
  await writeFile(at('gateway.yaml'), 'name: test\n')
  await writeFile(at('secret'), `${SECRET}\n`, { mode: 0o600 })
  await writeFile(at('basic'), `${BASIC}\n`, { mode: 0o600 })
  await addServer('web', `url: ${upstream.url}/mcp\ncredential: { kind: bearer }\n`)
  return async () => await rm(bundle, { recursive: true })
})
afterAll(async () => {
  await upstream.close()
  await elsewhere.close()
})

async function addServer(id: string, yaml: string): Promise<void> {
  await mkdir(join(bundle, 'servers', id), { recursive: true })
  await writeFile(join(bundle, 'servers', id, 'server.yaml'), yaml)
}
/** `@name` is a file of the bundle. */
const run = (words: string) =>
  runHere(
    ['tools', ...words.split(' ').map((word) => (word.startsWith('@') ? at(word.slice(1)) : word))],
    { CEDARGATE_BUNDLE: bundle, CEDARGATE_HOME: bundle, CEDARGATE_ISOLATION: 'off', PATH },
  )
/** Answers what comes with the secret, and 401 to the rest. */
const demand = (header: string, value: string, then = upstream.answer): void => {
  upstream.answer = (request, response) => {
    if (request.headers[header] === value) return then(request, response)
    response.writeHead(401).end()
  }
}

describe('a server that demands a header', () => {
  test.each([
    { words: '--bearer --file @secret', header: 'authorization', value: `Bearer ${SECRET}` },
    { words: '--basic --file @basic', header: 'authorization', value: `Basic ${Buffer.from(BASIC).toString('base64')}` },
    { words: '--header X-Api-Key --file @secret', header: 'x-api-key', value: SECRET },
  ])('$words', async ({ words, header, value }) => {
    demand(header, value)
    expect(await run('lock web')).toMatchObject({ code: 2, stderr: expect.stringMatching(/cannot be read from .*\nhint: .*give one for this look, see `cedargate tools lock --help`\n$/) })
    expect(await run(`lock web ${words}`)).toMatchObject({ code: 0 })
    expect(await run(`check web ${words}`)).toMatchObject({ code: 0 })
    expect(await run('check web')).toMatchObject({ code: 2 })
    upstream.tools = [{ ...TOOL, description: 'Looks.' }]
    const diff = await run(`diff web/look ${words} --format json`)
    expect(diff.code).toBe(5)
    const [{ sha256 }] = JSON.parse(diff.stdout) as [{ sha256: string }]
    expect(await run(`approve web/look --expect ${sha256} ${words}`)).toMatchObject({ code: 0 })
    for (const name of await readdir(join(bundle, 'servers/web')))
      expect(await readFile(join(bundle, 'servers/web', name), 'utf8')).not.toContain('hunter2')
  }) // biome-ignore format: a table

  test('of the modern era alone', async () => {
    demand('x-api-key', SECRET, modern)
    expect(await run('lock web --header x-api-key --file @secret')).toMatchObject({ code: 0 })
  })

  test('on HTTP+SSE: the stream and every message', async () => {
    const server = await openSse()
    await addServer('sse', `url: ${server.url}\ntransport: sse\n`)
    expect(await run('lock sse --header x-api-key --file @secret')).toMatchObject({ code: 0 })
    expect(server.unsecret()).toBe(0)
    await server.close()
  })

  test.each(['legacy', 'modern'])('that sends on to another origin: the secret does not go there (%s)', async (era) => {
    upstream.answer = (request, response) => {
      if (era === 'modern' && messageOf(request).method === 'initialize') return modern(request, response)
      response.writeHead(307, { location: `${elsewhere.url}/mcp` }).end()
    }
    expect(await run('lock web --header x-api-key --file @secret')).toMatchObject({ code: 2 })
    expect(elsewhere.reached.filter(({ rawHeaders }) => rawHeaders.join().includes('hunter2'))).toEqual([])
  }) // biome-ignore format: long lines
})

test('a server on stdio gets it in its environment', async () => {
  const script = `require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
    const { id, method } = JSON.parse(line)
    const tools = [{ name: 'look', description: String(process['env'].TOKEN?.length) + process.argv.length, inputSchema: { type: 'object' } }]
    const info = { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 's', version: '1' } }
    if (id !== undefined) console.log(JSON.stringify({ jsonrpc: '2.0', id, result: method === 'initialize' ? info : { tools } }))
  })`
  await addServer('child', `command: node\nargs: ${JSON.stringify(['-e', script])}\n`)
  expect(await run('lock child --env TOKEN --file @secret')).toMatchObject({ code: 0 })
  const lock = await readFile(join(bundle, 'servers/child/tools.lock.json'), 'utf8')
  expect(lock).toContain(`"${SECRET.length}1"`)
}) // biome-ignore format: long lines

describe('a server that shows the secret again', () => {
  test.each([
    { name: 'as it is', said: SECRET, words: '--bearer --file @secret' },
    { name: 'in base64', said: Buffer.from(`Bearer ${SECRET}`).toString('base64'), words: '--bearer --file @secret' },
    { name: 'in lines of base64', said: Buffer.from(`Authorization: Bearer ${SECRET}`).toString('base64').replaceAll(/.{24}/g, '$&\n'), words: '--bearer --file @secret' },
    { name: 'in hex', said: Buffer.from(SECRET).toString('hex'), words: '--header X-Api-Key --file @secret' },
    { name: 'as in an address', said: Array.from(SECRET, (one) => `%${one.charCodeAt(0).toString(16)}`).join(''), words: '--bearer --file @secret' },
    { name: 'of a pair the password', said: BASIC.slice(BASIC.indexOf(':') + 1), words: '--basic --file @basic' },
  ])('in a tool, $name: no lock is written', async ({ said, words }) => {
    upstream.tools = [{ ...TOOL, description: `key: ${said}` }]
    const { code, stderr } = await run(`lock web ${words}`)
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/its tools hold the secret: they cannot be reviewed/) })
    expect(await readdir(join(bundle, 'servers/web'))).toEqual(['server.yaml'])
  }) // biome-ignore format: long lines

  test('in an error: it is not printed', async () => {
    upstream.answer = (request, response) =>
      answerJson(response, { jsonrpc: '2.0', id: messageOf(request).id, error: { code: 1, message: `no ${SECRET}` } }) // biome-ignore format: long
    const { code, stderr } = await run('lock web --bearer --file @secret')
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/: it answered with its secret\n$/) }) // biome-ignore format: long
  })
})

describe('what does not fit together: nothing is asked', () => {
  test.each([
    { words: 'lock web --env TOKEN --file @secret', says: /server web is not started here: use --header <name>, --bearer or --basic/ },
    { words: 'lock child --bearer --file @secret', says: /server child is on stdio and gets no headers: use --env <name>/ },
    { words: 'lock web --bearer', says: /say where the secret is/ },
    { words: 'lock web --file @secret', says: /say what the secret is/ },
    { words: 'lock web --header mcp-x --file @secret', says: /this header is the gateway's own/ },
    { words: 'check --bearer --file @secret', says: /a secret is shown to one server: name that one alone/ },
    { words: 'check web child --bearer --file @secret', says: /name that one alone/ },
    { words: 'lock web --bearer hunter2', says: /^cedargate: too many arguments\nhint: a secret is not taken from the command line/ },
    { words: 'lock web --bearer=hunter2', says: /^cedargate: unknown option '--bearer'\n/ },
    { words: 'check web --value hunter2', says: /^cedargate: unknown option '--value'\n/ },
    { words: 'diff web --token=hunter2', says: /^cedargate: unknown option '--token'\n/ },
    { words: 'approve web/look --expect removed hunter2', says: /^cedargate: too many arguments\n/ },
  ])('$words', async ({ words, says }) => {
    await addServer('child', 'command: node\n')
    const { code, stderr } = await run(words)
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(says) })
    expect(stderr).not.toContain('hunter2')
    expect(upstream.reached).toEqual([])
  })
}) // biome-ignore format: a table

function modern(request: Reached, response: ServerResponse): void {
  const { id, method, params } = messageOf(request)
  const meta = params?.['_meta'] as Record<string, unknown> | undefined
  if (meta?.[META.protocolVersion] !== '2026-07-28') {
    const error = { code: -32601, message: 'Method not found' }
    response.writeHead(400, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ jsonrpc: '2.0', id, error }))
    return
  }
  const around = { resultType: 'complete', ttlMs: 0, cacheScope: 'private' }
  const supportedVersions = ['2026-07-28']
  const info = { supportedVersions, capabilities: { tools: {} }, serverInfo: { name: 'm', version: '1' } } // biome-ignore format: long
  const result = method === 'server/discover' ? info : { tools: [TOOL] }
  answerJson(response, { jsonrpc: '2.0', id, result: { ...around, ...result } })
}

/** Counts what came without the secret. */
async function openSse() {
  let unsecret = 0
  let stream: ServerResponse | undefined
  const server = createServer((request, response) => {
    if (request.headers['x-api-key'] !== SECRET) unsecret++
    if (request.method === 'GET') {
      stream = response.writeHead(200, { 'content-type': 'text/event-stream' })
      stream.write('event: endpoint\ndata: /messages\n\n')
      return
    }
    let body = ''
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString()
    })
    request.on('end', () => {
      response.writeHead(202).end()
      const { id, method } = JSON.parse(body) as { id?: number; method: string }
      const info = { protocolVersion: '2024-11-05', capabilities: { tools: {} }, serverInfo: { name: 's', version: '1' } } // biome-ignore format: long
      const result = method === 'initialize' ? info : { tools: [TOOL] }
      if (id !== undefined)
        stream?.write(`event: message\ndata: ${JSON.stringify({ jsonrpc: '2.0', id, result })}\n\n`)
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/sse`,
    unsecret: () => unsecret,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
