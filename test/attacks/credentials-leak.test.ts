// A secret of every kind is used through all that can go wrong, at servers that give away what they are sent. Then all that
// left the gateway, and all that it wrote, is searched: not one of them is anywhere, in any form.
import { hash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { sleep } from '../harness/command.ts'
import { ECHOES } from '../harness/echo-server.ts'
import {
  CHILD_TOOLS,
  canary,
  childServer,
  type LeakGateway,
  startLeakGateway,
} from '../harness/leak-gateway.ts'
import { callText, legacyText, modern } from '../harness/mcp-request.ts'
import { findSecrets } from '../harness/secrets.ts'

const SECRETS = {
  header: canary('header'),
  second: canary('second'),
  bearer: canary('bearer'),
  basic: `somebody:${canary('basic')}`,
  child: `${canary('child')}\nπ`,
}
const SET = [
  ['header', ['--header', 'x-api-key'], SECRETS.header],
  ['header', ['--header', 'x-second'], SECRETS.second],
  ['bearer', ['--bearer'], SECRETS.bearer],
  ['basic', ['--basic'], SECRETS.basic],
  ['child', ['--env', 'API_KEY'], SECRETS.child],
] as const

const HTTP = ['header', 'bearer', 'basic']

describe.runIf(inject('postgresUrl') !== null && process.platform === 'linux')('leaks', () => {
  let gateway: LeakGateway
  beforeAll(async () => {
    gateway = await startLeakGateway({
      header: (url) => `url: ${url}/header\ncredential: { kind: header, names: [x-api-key, x-second] }\ninstructions: pass\n`,
      bearer: (url) => `url: ${url}/bearer\ncredential: { kind: bearer }\n`,
      basic: (url) => `url: ${url}/basic\ncredential: { kind: basic }\n`,
      child: childServer,
    })
  }, 60_000) // biome-ignore format: long lines
  afterAll(() => gateway.stop())

  const open = async (server: string, name = 'client'): Promise<Record<string, string>> => {
    const clientInfo = { name, version: '1' }
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo }
    const body = legacyText('initialize', params)
    const answered = await gateway.ask(`${server} initialize ${name}`, { server, body })
    const session = answered.headers['mcp-session-id']
    const headers: Record<string, string> = {
      'mcp-protocol-version': '2025-11-25',
      ...(typeof session === 'string' ? { 'mcp-session-id': session } : {}),
    }
    const told = '{"jsonrpc":"2.0","method":"notifications/initialized"}'
    await gateway.ask(`${server} initialized`, { server, body: told, headers })
    return headers
  }
  const call = async (server: string, tool: string, headers?: Record<string, string>) => {
    const where = `${server} ${tool}`
    const own = headers ?? (await open(server))
    return await gateway.ask(where, { server, body: callText('{}', tool), headers: own })
  }

  test.each(SET)('credentials set: %s %j', async (server, words, secret) => {
    const set = ['credentials', 'set', '--server', server, ...words, '--stdin']
    expect(await gateway.command(secret, ...set)).toMatchObject({ code: 0 })
    const bad = await gateway.command(`${secret}\u0000`, ...set)
    expect(bad).toMatchObject({ code: 2 })
  })

  test.each(HTTP)('%s: everything that is said', async (server) => {
    const headers = await open(server)
    await open(server, 'session')
    await gateway.ask(`${server} list`, { server, body: legacyText('tools/list'), headers })
    await gateway.ask(`${server} GET`, { server, method: 'GET', headers })
    for (const method of ['resources/list', 'prompts/list', 'ping'])
      await gateway.ask(`${server} ${method}`, { server, body: legacyText(method), headers })
  })

  test.each(HTTP.flatMap((server) => Object.keys(ECHOES).filter((tool) => tool !== 'hang').map((tool) => [server, tool] as const)))('%s: %s', async (server, tool) => {
    const answered = await call(server, tool)
    const { headers = {}, body } = modern('tools/call', { name: tool, arguments: {} })
    const own = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value ?? '']))
    const second = await gateway.ask(`${server} ${tool}, modern`, { server, body, headers: own })
    if (tool === 'denied') for (const one of [answered, second]) expect(one.body).toContain('policy_denied')
    if (tool === 'plain') for (const one of [answered, second]) expect(one.body).toContain('fine')
  }) // biome-ignore format: long lines

  test.each(CHILD_TOOLS.filter((tool) => tool !== 'hang'))('child: %s', async (tool) => {
    const answered = await call('child', tool)
    if (tool === 'proof') expect(answered.body).toContain(hash('sha256', SECRETS.child))
    if (tool === 'denied') expect(answered.body).toContain('policy_denied')
  })

  test('child: everything that is said', async () => {
    const headers = await open('child')
    const server = 'child'
    await gateway.ask('child list', { server, body: legacyText('tools/list'), headers })
    const signal = AbortSignal.timeout(1_500)
    const listening = gateway.ask('child GET', { server, method: 'GET', headers, signal })
    await call('child', 'notify', headers)
    await call('child', 'noise', headers)
    await listening.catch(() => undefined)
    await gateway.ask('child DELETE', { server, method: 'DELETE', headers })
  })

  test('the servers were sent them', () => {
    for (const [server, , secret] of SET.filter(([id]) => id !== 'child')) {
      const sent = server === 'basic' ? Buffer.from(secret).toString('base64') : secret
      expect(gateway.echo.got(`/${server}`)).toContain(sent)
    }
  })

  test('the PEP is killed in the middle of calls, and goes on', async () => {
    const hanging = ['header', 'child'].map((server) => call(server, 'hang').catch(() => undefined))
    await sleep(1_000)
    await gateway.killPep()
    await Promise.all(hanging)
    expect((await call('header', 'plain')).body).toContain('fine')
  })

  test('nothing of them is anywhere', async () => {
    for (const words of [
      ['decisions', 'ls'],
      ['acts', 'ls'],
      ['credentials', 'ls'],
      ['keys', 'ls'],
    ])
      gateway.keep(words.join(' '), JSON.stringify(await gateway.json(...words)))
    const places = await gateway.places()
    const found = findSecrets(SECRETS, places)
    expect(found).toEqual([])
  })
})
