// Settings: a good set, and each way one can be wrong, named in one line.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { keptOf, readPepConfig } from './config.ts'
import { startPep } from './main.ts'

const GOOD = {
  CEDARGATE_PDP: 'http://127.0.0.1:8181',
  CEDARGATE_PEP_KEY: 'cgp_x',
  DATABASE_URL: 'postgres://127.0.0.1:1/none',
  PATH: '/bin',
}

test('the defaults listen on loopback', () => {
  expect(readPepConfig(GOOD)).toMatchObject({
    host: '127.0.0.1',
    port: 8787,
    logLevel: 'info',
    pepKey: 'cgp_x',
  })
})

test('lists are split, and the key may stand in a file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cedargate-config-'))
  await writeFile(join(folder, 'key'), 'cgp_file\n')
  const { CEDARGATE_PEP_KEY: _, ...rest } = GOOD
  const config = readPepConfig({
    ...rest,
    CEDARGATE_PEP_KEY_FILE: join(folder, 'key'),
    CEDARGATE_ALLOWED_HOSTS: 'MCP.example, b:8443',
    CEDARGATE_ALLOWED_ORIGINS: 'https://a.example',
    CEDARGATE_SERVER_ANY: 'fine',
  })
  expect(config.pepKey).toBe('cgp_file')
  expect([...config.allowedHosts, ...config.allowedOrigins]).toEqual([
    'mcp.example',
    'b:8443',
    'https://a.example',
  ])
  await rm(folder, { recursive: true })
})

test('proxies are trusted where they are named, and nowhere else', () => {
  const request = { socket: { remoteAddress: '10.0.0.1' }, headers: { 'x-forwarded-for': '192.0.2.9' } } as unknown as IncomingMessage
  expect(readPepConfig(GOOD).sourceOf(request)).toBe('10.0.0.1')
  expect(readPepConfig({ ...GOOD, CEDARGATE_TRUSTED_PROXIES: '172.16.0.1, 10.0.0.0/8' }).sourceOf(request)).toBe('192.0.2.9')
  for (const wrong of ['proxy.example', '10.0.0.0/8,0.0.0.0/0'])
    expect(() => readPepConfig({ ...GOOD, CEDARGATE_TRUSTED_PROXIES: wrong })).toThrow(/^CEDARGATE_TRUSTED_PROXIES: /)
}) // biome-ignore format: long lines

test('children are isolated where that works, unless told otherwise; home and key are kept from them', () => {
  expect(readPepConfig(GOOD)).toMatchObject({ isolation: 'auto', kept: { home: resolve('.cedargate') } })
  const { isolation, kept } = readPepConfig({ ...GOOD, CEDARGATE_ISOLATION: 'user:mcp', CEDARGATE_HOME: '/srv/gate' })
  expect(isolation).toBe('user:mcp')
  expect(kept).toMatchObject({ home: '/srv/gate', secrets: expect.arrayContaining(['/srv/gate/keys']) })
  expect(keptOf({ CEDARGATE_PEP_KEY_FILE: 'key' }).secrets).toContain(resolve('key'))
}) // biome-ignore format: long lines

test.each(['none', 'user:', 'user:Root', 'user:a b', 'AUTO'])('CEDARGATE_ISOLATION=%s is refused', (value) => {
  expect(() => readPepConfig({ ...GOOD, CEDARGATE_ISOLATION: value })).toThrow('CEDARGATE_ISOLATION must be auto, bubblewrap, user:<name> or off')
}) // biome-ignore format: long lines

test.each([
  { pdp: '/run/pdp.sock', want: { socketPath: '/run/pdp.sock' } },
  { pdp: 'unix:/run/pdp.sock', want: { socketPath: '/run/pdp.sock' } },
  { pdp: 'https://pdp.example/', want: { origin: 'https://pdp.example' } },
  { pdp: 'http://localhost:1', want: { origin: 'http://localhost:1' } },
])('CEDARGATE_PDP=$pdp', ({ pdp, want }) => {
  expect(readPepConfig({ ...GOOD, CEDARGATE_PDP: pdp }).pdp).toEqual(want)
})

test.each([
  { change: { CEDARGATE_PDP: undefined }, want: 'CEDARGATE_PDP is not set' },
  {
    change: { CEDARGATE_PDP: 'http://pdp.example' },
    want: 'must be https, a socket path, or http on loopback',
  },
  { change: { CEDARGATE_PDP: 'pdp.example' }, want: 'CEDARGATE_PDP' },
  { change: { CEDARGATE_PEP_KEY: undefined }, want: 'peps enroll' },
  { change: { CEDARGATE_PEP_KEY_FILE: '/x' }, want: 'not both' },
  {
    change: { CEDARGATE_PEP_KEY: undefined, CEDARGATE_PEP_KEY_FILE: '/no/such' },
    want: 'CEDARGATE_PEP_KEY_FILE',
  },
  { change: { DATABASE_URL: undefined }, want: 'DATABASE_URL is not set' },
  { change: { CEDARGATE_PEP_PORT: '70000' }, want: 'CEDARGATE_PEP_PORT' },
  { change: { CEDARGATE_PEP_PROT: '1' }, want: 'unknown setting CEDARGATE_PEP_PROT' },
])('$change: $want', ({ change, want }) => {
  expect(() => readPepConfig({ ...GOOD, ...change })).toThrow(want)
})

test('a database that is away is named, without its password', async () => {
  const url = 'postgres://user:secret@127.0.0.1:1/none'
  const error = await startPep(
    {
      ...readPepConfig({ ...GOOD, DATABASE_URL: url }),
      logLevel: 'silent',
    },
    { logTo: { write: () => undefined } },
  ).catch((reason: unknown) => reason)
  expect(error).toMatchObject({
    name: 'ConfigError',
    message: expect.stringMatching(/^DATABASE_URL: .*ECONNREFUSED/),
  })
  expect(String(error)).not.toContain('secret')
})
