// Owns what the files of a bundle may look like: one good file of each, and one field wrong per row.
import { describe, expect, test } from 'vitest'
import type { z } from 'zod'
import { derivation, gatewayFile, serverFile, toolsLock, upstreamOf } from './bundle.ts'

const server = { url: 'http://127.0.0.1:1/mcp' }
const derive = { kind: 'path', arguments: ['path'], root: '/srv' }
const definition = { name: 't', inputSchema: { type: 'object' }, title: 'kept', 'x-own': [1] }
const lock = { version: 1, tools: [{ risk: 'read', sha256: 'a'.repeat(64), definition }] }

test.each([
  ['https://idp.test', true],
  ['https://idp.test/realms/a', true],
  ['http://127.0.0.1:8080/a', true],
  ['http://localhost', true],
  ['http://[::1]:1', true],
  ['http://idp.test', false],
  ['http://127.0.0.1.idp.test', false],
  ['http://127.0.0.1:80@idp.test/', false],
  ['https://user@idp.test/', false],
  ['ftp://idp.test', false],
  ['idp.test', false],
])('an issuer at %s: %s', (issuer, good) => {
  const identity = { issuers: [{ issuer, audience: 'gate' }] }
  expect(gatewayFile.safeParse({ name: 'Test', identity }).success).toBe(good)
})

describe('good files', () => {
  test('server.yaml by url, by command, by both', () => {
    const command = { command: 'node', args: ['x'], env: { A: '1' }, cwd: '/srv' }
    const defaults = { transport: 'http', derive: [], concealment: 'explain', allowUnknown: [], trust: 'vendor', instructions: 'withhold', private: false }
    expect(serverFile.parse(server)).toEqual({ ...server, args: [], env: {}, ...defaults })
    expect(serverFile.parse(command)).toEqual({ ...command, ...defaults })
    expect(serverFile.parse({ ...server, ...command }).url).toBe(server.url)
  }) // biome-ignore format: defaults

  test.each([
    { file: server, transport: 'http', writable: null },
    { file: { ...server, transport: 'sse', command: 'x' }, transport: 'sse', writable: null },
    { file: { command: 'x' }, transport: 'stdio', writable: null },
    {
      file: { command: 'x', writable: [], instructions: 'pass' },
      transport: 'stdio',
      writable: [],
    },
  ])('$file is reached by $transport', ({ file, transport, writable }) => {
    const { instructions = 'withhold' } = file as { instructions?: string }
    const upstream = { id: 'a', transport, writable, instructions }
    expect(upstreamOf('a', serverFile.parse(file))).toMatchObject(upstream)
  })
  test('a derivation has a suffix', () => {
    expect(derivation.parse(derive)).toEqual({ ...derive, suffix: '_normalised' })
    const suffixes = ['url_host', 'email_domain', 'count'].map(
      (kind) => derivation.parse({ kind, arguments: ['a'] }).suffix,
    )
    expect(suffixes).toEqual(['_host', '_domain', '_count'])
  })
  test('a tool definition is kept whole', () => {
    expect(toolsLock.parse(lock).tools[0]?.definition).toEqual(definition)
  })
  test.each(['127.0.0.1:${PORT}', 'localhost:${PORT}', '[::1]:${PORT}', '127.0.0.1:9000'])('a command is spoken to at %s', (host) => {
    expect(serverFile.safeParse({ command: 'x', url: `http://${host}/mcp` }).success).toBe(true)
  }) // biome-ignore format: long

  test('gateway.yaml says how to get access', () => {
    expect(gatewayFile.parse({ name: 'x' }).access).toBe('ask your platform team')
  })
})

describe('refused', () => {
  test.each<{ name: string; schema: z.ZodType; value: unknown }>([
    { name: 'a server without url and command', schema: serverFile, value: {} },
    { name: 'a trust of our own making', schema: serverFile, value: { ...server, trust: 'full' } },
    { name: 'a misspelt key', schema: serverFile, value: { ...server, urls: 'x' } },
    { name: 'arguments without a command', schema: serverFile, value: { ...server, args: ['x'] } },
    { name: 'environment without a command', schema: serverFile, value: { ...server, env: { A: '1' } } },
    { name: 'a transport of our own making', schema: serverFile, value: { ...server, transport: 'ws' } },
    { name: 'a command that is spoken to elsewhere', schema: serverFile, value: { command: 'sleep', url: 'http://10.0.0.5/mcp' } },
    { name: 'a command that is spoken to elsewhere, though private', schema: serverFile, value: { command: 'sleep', url: 'https://tools.test/mcp', private: true } },
    { name: 'a command that is spoken to at what looks like this machine', schema: serverFile, value: { command: 'sleep', url: 'http://127.0.0.1:${PORT}@tools.test/' } },
    { name: 'a command that is spoken to where a variable says', schema: serverFile, value: { command: 'sleep', url: '${CEDARGATE_SERVER_URL}' } },
    { name: 'a command that is spoken to where the end of a name says', schema: serverFile, value: { command: 'sleep', url: 'http://127.0.0.1${CEDARGATE_SERVER_X}/' } },
    { name: 'stdio by name', schema: serverFile, value: { command: 'x', transport: 'stdio' } },
    { name: 'an event stream of nowhere', schema: serverFile, value: { command: 'x', transport: 'sse' } },
    { name: 'directories of what is no child on stdio', schema: serverFile, value: { ...server, writable: [] } },
    { name: 'instructions as they are', schema: serverFile, value: { ...server, instructions: 'yes' } },
    { name: 'a number in env', schema: serverFile, value: { command: 'x', env: { A: 1 } } },
    { name: 'a derivation of nothing', schema: derivation, value: { ...derive, arguments: [] } },
    { name: 'another kind of derivation', schema: derivation, value: { ...derive, kind: 'url' } },
    { name: 'a path without a root', schema: derivation, value: { ...derive, root: undefined } },
    { name: 'a root of what is no path', schema: derivation, value: { ...derive, kind: 'count' } },
    { name: 'a suffix that is no attribute', schema: derivation, value: { ...derive, suffix: '-x' } },
    { name: 'a nameless gateway', schema: gatewayFile, value: { name: '' } },
    { name: 'a misspelt gateway key', schema: gatewayFile, value: { name: 'x', acces: 'y' } },
    { name: 'a lock of another version', schema: toolsLock, value: { ...lock, version: 2 } },
    { name: 'a tool without a risk', schema: toolsLock, value: { ...lock, tools: [{ ...lock.tools[0], risk: undefined }] } },
    { name: 'a risk of our own making', schema: toolsLock, value: { ...lock, tools: [{ ...lock.tools[0], risk: 'low' }] } },
    { name: 'a tool whose input is no object', schema: toolsLock, value: { ...lock, tools: [{ ...lock.tools[0], definition: { name: 't', inputSchema: { type: 'array' } } }] } },
  ])('$name', ({ schema, value }) => {
    expect(schema.safeParse(value).success).toBe(false)
  }) // biome-ignore format: a table
})
