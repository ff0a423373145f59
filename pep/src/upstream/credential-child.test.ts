// The credential of a session on stdio: in the environment of its own child and nowhere else, another child when it is
// another one, and masked in all that the child says. Real processes, with and without a sandbox.
import { hash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { request } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ReleasedCredential } from '../../../schemas/credentials.ts'
import type { Upstream } from '../../../schemas/pep-api.ts'
import { CHANNEL_LOSSES_MAX, REPORT_DELAY_MS } from '../limits.ts'
import { MASK } from '../mask/masker.ts'
import {
  clientHeaders,
  countingSql,
  createTestPdp,
  EVERYTHING_VISIBLE,
  type Posted,
  post,
  type RunningTestPep,
  shownIn,
  startTestPep,
  type TestPdp,
  testToken,
  toolCall,
  until,
  variable,
} from '../testing.ts'
import { openIsolation } from './isolation.ts'
import { whyNoBubblewrap } from './testing-isolation.ts'

/** Answers with its environment, as its tool says; the sum of the key shows which one it has. */
const SCRIPT = `
const { createHash } = require('node:crypto')
const key = process['env'].API_KEY ?? ''
const born = Math.random()
const sum = createHash('sha256').update(key).digest('hex').slice(0, 16)
const say = (message) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\\n')
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line)
  const tools = [{ name: 'env', inputSchema: {}, description: 'key ' + key }]
  if (method === 'initialize') return say({ id, result: { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: key || 's', version: '1' } } })
  if (method === 'tools/list') return say({ id, result: { tools } })
  if (method !== 'tools/call') return
  const { name } = params
  if (name === 'env') say({ id, result: { content: [], env: process['env'], sum, born, pid: process.pid, argv: process.argv } })
  if (name === 'coded') say({ id, result: { content: [], coded: Buffer.from('xy' + key).toString('base64') + ' ' + Buffer.from(key).toString('hex') + ' ' + encodeURIComponent(key) } })
  if (name === 'number') say({ id, result: { content: [], n: Number(key) } })
  if (name === 'tell') { say({ method: 'notifications/message', params: { level: 'info', data: key } }); say({ id, result: { content: [] } }) }
  if (name === 'noise') { process.stdout.write('noise ' + key + '\\n'); process.stderr.write('half ' + key.slice(0, 9)); setTimeout(() => { process.stderr.write(key.slice(9) + ' whole\\n'); say({ id, result: { content: [] } }) }, 60) }
  if (name === 'crash') { process.stderr.write('dying with ' + key + '\\n'); setTimeout(() => process.exit(3), 60) }
  if (name === 'slow') setTimeout(() => say({ id, result: { content: [] } }), 2000)
})`

const ONE = 'canary-one\n$HOME-${PATH}-0123456789'
const TWO = 'canary-two-0123456789abcdef'
const INITIALIZE = {
  id: 0,
  method: 'initialize',
  params: {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'c', version: '1' },
  },
}
const upstreamOf = (id: string): Upstream => {
  const none = { url: null, cwd: null, writable: null, instructions: 'withhold' as const }
  const env = { API_KEY: 'declared', OTHER: 'yes' }
  return { id, transport: 'stdio', command: 'node', args: ['-e', SCRIPT], env, ...none }
}
const SETTINGS = whyNoBubblewrap() === undefined ? ['off', 'bubblewrap'] : ['off']

/** Of the PEP's clock. */
let skewMs = 0
const monotonic = () => performance.now() + skewMs

describe.each(SETTINGS)('isolation %s', (setting) => {
  let pdp: TestPdp
  let pep: RunningTestPep
  let credential: ReleasedCredential | undefined
  let logged = ''
  let got = ''

  beforeAll(async () => {
    pdp = createTestPdp([upstreamOf('own'), upstreamOf('bare')])
    pdp.rule = ({ server }) => ({
      allow: true,
      visible: EVERYTHING_VISIBLE,
      ...(server === 'own' && credential !== undefined ? { credential } : {}),
    })
    credential = variable('API_KEY', ONE)
    const log = pino({ level: 'trace' }, { write: (line) => void (logged += line) })
    const kept = { home: '/nonexistent/cedargate', secrets: [] }
    const env = { PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, HOME: '/tmp' }
    const isolation = await openIsolation(setting, { env, kept, log, uid: process.getuid?.() })
    const sql = countingSql()
    pep = await startTestPep({ pdp: pdp.port, sql, log, env, isolation, monotonic })
  }, 60_000)
  afterAll(async () => {
    await pep.close()
  })
  beforeEach(async () => {
    credential = variable('API_KEY', ONE)
    await sleep(REPORT_DELAY_MS + 50)
    pdp.outcomes.length = 0
    skewMs += 600_000
  })

  async function open(server = 'own', seed = 1) {
    const url = `${pep.url}/${server}/mcp`
    const authorization = `Bearer ${testToken(seed)}`
    const first = await post(url, INITIALIZE, { authorization })
    got += first.text
    const headers = { authorization, 'mcp-session-id': String(first.headers['mcp-session-id']) }
    await post(url, { method: 'notifications/initialized' }, headers)
    const call = async (name: string): Promise<Posted> => {
      const posted = await post(url, toolCall(name), headers)
      got += posted.text + JSON.stringify(posted.headers)
      return posted
    }
    const whose = async () => {
      const { sum, born, pid, env } = (await call('env')).json.result as Record<string, unknown>
      return { sum, born, pid, key: (env as Record<string, unknown>)['API_KEY'] }
    }
    return { url, headers, call, whose, initialized: first }
  }

  test('it is in the environment of its own child as it is, before what is declared, and in no argument', async () => {
    const { whose, call, initialized } = await open()
    expect(initialized.json.result).toMatchObject({ serverInfo: { name: MASK } })
    const { env, argv } = (await call('env')).json.result as { env: Record<string, string>; argv: string[] }
    expect(env).toMatchObject({ API_KEY: MASK, OTHER: 'yes' })
    expect((await whose()).sum).toBe(sumOf(ONE))
    expect(argv.join(' ')).not.toContain(ONE)
    expect(commandLines()).toContain('API_KEY')
    expect(shownIn(commandLines(), ONE)).toEqual([])
    const bare = await open('bare')
    expect(await bare.whose()).toMatchObject({ key: 'declared' })
  }) // biome-ignore format: a type

  test.each(['coded', 'tell', 'env'])('%s: masked, and the outcome says so', async (name) => {
    const { call } = await open()
    await sleep(REPORT_DELAY_MS + 50)
    pdp.outcomes.length = 0
    expect((await call(name)).text).toContain(MASK)
    await until(() => pdp.outcomes.length > 0)
    const { id, version } = credential ?? {}
    expect(pdp.outcomes[0]).toMatchObject({ credential: { id, version, echoed: true } })
  })

  test('what cannot be masked is refused, and the session goes on', async () => {
    credential = variable('API_KEY', '98765432109876')
    const { call } = await open()
    const { text } = await call('number')
    expect(text).toContain('upstream_invalid')
    expect(text).not.toContain('98765432109876')
    expect((await call('env')).json.result).toMatchObject({ content: [] })
  })

  test('what it says beside its messages is masked in the log, also where it comes in two pieces', async () => {
    const from = logged.length
    const { call } = await open()
    await call('noise')
    await until(() => logged.slice(from).includes(' whole'))
    const own = logged.slice(from)
    expect(own).toContain(`"line":"${MASK}"`)
    expect(own).toContain('"half"')
    expect(own).toContain(`${MASK} whole`)
    await call('crash')
    await until(() => logged.slice(from).includes('was not told to end'))
    expect(logged.slice(from)).toMatch(/"stderr":"[^"]*dying with \[credential masked/)
  })

  test('another version: another child, its client is told, and it is no loss', async () => {
    const { whose, call, url, headers } = await open()
    const before = await whose()
    for (let round = 2; round < 3 + CHANNEL_LOSSES_MAX; round += 1) {
      credential = variable('API_KEY', `${TWO}${round}`, { version: round })
      const { text, json } = await call('env')
      expect(json.result).toMatchObject({ sum: sumOf(`${TWO}${round}`) })
      expect(json.result?.['born']).not.toBe(before.born)
      expect(text).toContain('remembers nothing of this session')
    }
    expect((await call('env')).text).not.toContain('remembers nothing')
    // In a sandbox it is another number.
    expect(setting === 'off' && isRunning(before.pid)).toBe(false)
    // One that was decided before the last rotation goes to the child there is.
    const now = await whose()
    credential = variable('API_KEY', `${TWO}2`, { version: 2 })
    expect(await whose()).toEqual(now)
    const { body } = await request(url, { method: 'DELETE', headers: { ...clientHeaders(), ...headers } })
    await body.dump()
  }) // biome-ignore format: a call

  test('another one, or none: another child', async () => {
    const { whose } = await open()
    credential = variable('API_KEY', TWO, { id: '0195fe2c-1111-7000-8000-000000000002' })
    expect((await whose()).sum).toBe(sumOf(TWO))
    credential = undefined
    expect(await whose()).toMatchObject({ key: 'declared' })
    credential = variable('API_KEY', ONE)
    expect((await whose()).sum).toBe(sumOf(ONE))
  })

  test('calls under way on the child that is replaced are told', async () => {
    const { url, headers, call } = await open()
    const slow = post(url, toolCall('slow', {}, 'slow'), headers)
    await until(() => pdp.calls.some(({ message }) => message.includes('"id":"slow"')))
    await sleep(100)
    credential = variable('API_KEY', TWO, { version: 2 })
    expect((await call('env')).json.result).toMatchObject({ sum: sumOf(TWO) })
    expect((await slow).text).toContain('upstream_unavailable')
  })

  test('after a loss the child is started with the credential of the call that needs it', async () => {
    const { whose, call } = await open()
    await call('crash')
    credential = variable('API_KEY', TWO, { version: 2 })
    expect((await whose()).sum).toBe(sumOf(TWO))
  })

  test('the gateway’s own look has it too, and tells nobody', () => {
    expect(pdp.definitions.get('own')).toEqual(['env'])
    expect(JSON.stringify(pdp.told)).toContain(`key ${MASK}`)
  })

  test('of all that anybody else got, nothing shows it', () => {
    const all = logged + got + JSON.stringify([pdp.told, pdp.outcomes])
    for (const secret of [ONE, TWO]) expect(shownIn(all, secret)).toEqual([])
    expect(all).not.toContain('canary')
    expect(all).toContain(MASK)
  })
})

function sumOf(secret: string): string {
  return hash('sha256', secret).slice(0, 16)
}

function commandLines(): string {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return pids
    .map((pid) => {
      try {
        return `\0${pid}\0${readFileSync(`/proc/${pid}/cmdline`, 'utf8')}`
      } catch {
        return '' // It ended.
      }
    })
    .join('\n')
}

function isRunning(pid: unknown): boolean {
  try {
    return process.kill(Number(pid), 0)
  } catch {
    return false
  }
}
