// Servers the PEP starts: on loopback whatever they ask for, again when they end, and never longer
// than their parent.
import { spawn } from 'node:child_process'
import { createServer, type Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { request } from 'undici'
import { expect, test } from 'vitest'
import type { Upstream } from '../../../schemas/pep-api.ts'
import {
  BIN_DIRECTORY,
  countingSql,
  createTestPdp,
  post,
  startTestPep,
  toolCall,
  until,
} from '../testing.ts'

/**
 * Listens where Node's default is every address; answers with its own address and pid, and ends
 * when told to.
 */
const SCRIPT = `
const server = require('node:http').createServer((request, response) => {
  let body = ''
  request.on('data', (chunk) => { body += chunk })
  request.on('end', () => {
    const { id, params } = body === '' ? {} : JSON.parse(body)
    if (params?.name === 'crash') process.exit(1)
    const { address, port } = server.address()
    const result = { tools: [{ name: 'where' }], address, port, pid: process.pid, greeting: process['env'].GREETING }
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ jsonrpc: '2.0', id, result }))
  })
}).listen(Number(process['env'].PORT))`

const UPSTREAM: Upstream = {
  id: 'own',
  transport: 'http',
  url: 'http://127.0.0.1:${PORT}/mcp',
  command: 'node',
  args: ['-e', SCRIPT],
  env: { PORT: '${PORT}', GREETING: 'hello ${CEDARGATE_SERVER_NAME}' },
  cwd: null,
  instructions: 'withhold',
  writable: null,
}
const ENV = { PATH: '/usr/bin:/bin', CEDARGATE_SERVER_NAME: 'you', SECRET: 'x' }

test('on loopback, with what is declared; started again when it ends; gone with the PEP', async () => {
  const pdp = createTestPdp([UPSTREAM])
  const pep = await startTestPep({ pdp: pdp.port, sql: countingSql(), env: ENV })
  const url = `${pep.url}/own/mcp`
  const first = (await post(url, toolCall('where'))).json.result
  expect(first).toMatchObject({ address: '127.0.0.1', greeting: 'hello you' })

  const crashed = await post(url, toolCall('crash'))
  expect(crashed.text).toContain('upstream_unavailable')
  let again = first
  for (; again?.['pid'] === first?.['pid']; await sleep(50)) {
    const { json } = await post(url, toolCall('where'))
    if (json.result?.['pid'] !== undefined) again = json.result
  }

  await until(() => pdp.calls.filter(({ method }) => method === 'initialize').length === 2)
  await pep.close()
  const gone = request(`http://127.0.0.1:${String(again?.['port'])}/`).catch(
    (error: unknown) => error,
  )
  expect(await gone).toMatchObject({ code: 'ECONNREFUSED' })
})

test('a server whose variable is not set is not served, and its neighbours are', async () => {
  const bad = {
    ...UPSTREAM,
    id: 'bad',
    url: 'http://127.0.0.1:${CEDARGATE_SERVER_NONE}/',
    command: null,
    args: [],
  }
  const pdp = createTestPdp([bad, UPSTREAM])
  const pep = await startTestPep({ pdp: pdp.port, sql: countingSql(), env: ENV })
  expect((await post(`${pep.url}/bad/mcp`, toolCall('x'))).text).toContain('upstream_unavailable')
  expect((await post(`${pep.url}/own/mcp`, toolCall('where'))).json.result).toBeDefined()
  await pep.close()
})

const PRELOAD = fileURLToPath(new URL('./preload.mjs', import.meta.url))

/** What `listen(…)` in a preloaded process ends up listening on. */
function addressOf(listenArguments: string): Promise<string> {
  const script = `const s = require('node:net').createServer(); s.listen(${listenArguments}); s.once('listening', () => { process.stdout.write(JSON.stringify(s.address())); s.close() })`
  const child = spawn(`${BIN_DIRECTORY}/node`, ['--import', PRELOAD, '-e', script])
  return new Promise((resolve) =>
    child.stdout.once('data', (data: Buffer) => resolve(data.toString())),
  )
}

test.each([
  { call: '0', want: '127.0.0.1' },
  { call: '0, () => {}', want: '127.0.0.1' },
  { call: '0, undefined, () => {}', want: '127.0.0.1' },
  { call: '"0"', want: '127.0.0.1' },
  { call: '{ port: 0 }', want: '127.0.0.1' },
  { call: '{ port: 0, host: undefined }, () => {}', want: '127.0.0.1' },
  { call: '', want: '127.0.0.1' },
  { call: '() => {}', want: '127.0.0.1' },
  { call: '0, "127.0.0.2"', want: '127.0.0.2' },
  { call: '{ port: 0, host: "127.0.0.2" }', want: '127.0.0.2' },
  { call: '{ path: "\\0cedargate-" + process.pid }', want: 'cedargate-' },
])('listen($call) listens on $want', async ({ call, want }) => {
  expect(await addressOf(call)).toContain(want)
})

test('a child ends when its parent is killed, its own children too', async () => {
  const heard = Promise.withResolvers<void>()
  let open = 0
  const witness: Server = createServer((socket) => {
    open += 1
    socket.on('error', () => undefined)
    socket.on('close', () => {
      open -= 1
    })
    if (open === 2) heard.resolve()
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => witness.once('listening', resolve))
  const { port } = witness.address() as { port: number }
  const connect = `require('node:net').connect(${port}, '127.0.0.1')`
  const child = `${connect}; require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(connect)}])`
  const parent = `require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(child)}], { detached: true, env: { NODE_OPTIONS: '--import=${PRELOAD}' } })`
  const started = spawn(`${BIN_DIRECTORY}/node`, ['-e', parent])
  await heard.promise
  started.kill('SIGKILL')
  await until(() => open === 0)
  expect(open).toBe(0)
  witness.close()
})
