// The one translation into Cedar's words: exact texts, the part the engine is given, and what no text can hold.

import { expect, test } from 'vitest'
import { toCedarRequest } from './request.ts'
import type { AuthorizationRequest } from './types.ts'

const REQUEST: AuthorizationRequest = {
  user: 'alice',
  teams: ['b', 'a', 'b'],
  agent: 'demo',
  grant: { id: 'g1', expiresAt: 1_763_800_000_000 },
  server: 'files',
  method: 'tools/call',
  params: undefined,
  definition: null,
  scopes: { user: ['mcp:write', 'mcp:read'], agent: [], grant: ['mcp:read', 'mcp:read'] },
  definitionRequired: false,
  from: 'client',
  time: 1_763_800_002_345,
  era: 'legacy',
  sourceIp: '127.0.0.1',
}
const CALL = { args: new Map([['p', '"x"'], ['q', '1']]), argsMeta: new Map([['bytes', '3']]) } // biome-ignore format: a map

test('a person, in full', () => {
  const { texts } = toCedarRequest(REQUEST, 'files/x', CALL)
  expect(texts).toEqual({
    request:
      '{"principal":{"type":"MCP::User","id":"alice"},"action":{"type":"MCP::Action","id":"files/x"},"resource":{"type":"MCP::Server","id":"files"}}',
    context:
      '{"agent":{"type":"MCP::Agent","id":"demo"},"grant":{"id":"g1","expiresAt":"2025-11-22T08:26:40.000Z"},"request":{"time":"2025-11-22T08:26:42.345Z","method":"tools/call","era":"legacy","sourceIp":"127.0.0.1"},"scopes":{"read":{"user":true,"agent":false,"grant":true},"write":{"user":true,"agent":false,"grant":false},"destructive":{"user":false,"agent":false,"grant":false},"ask":{"user":false,"agent":false,"grant":false}},"args":{"p":"x","q":1},"argsMeta":{"bytes":3}}',
    entities:
      '[{"uid":{"type":"MCP::User","id":"alice"},"attrs":{},"parents":[{"type":"MCP::Team","id":"a"},{"type":"MCP::Team","id":"b"}]}]',
  })
})

test('an agent that acts for nobody has no teams, no grant and no address', () => {
  const request = { ...REQUEST, user: null, grant: null, sourceIp: null }
  const { texts } = toCedarRequest(request, 'connect', {})
  expect(JSON.parse(texts.request)).toMatchObject({ principal: { type: 'MCP::Agent', id: 'demo' } })
  expect(texts.entities).toBe('[]')
  expect(Object.keys(JSON.parse(texts.context) as object)).toEqual(['agent', 'request', 'scopes'])
  expect(texts.context).not.toContain('sourceIp')
})

test('the engine is given what its policies read, and nothing of it is spelled differently', () => {
  const { reading, texts } = toCedarRequest(REQUEST, 'files/x', CALL)
  const reads = new Map<string, 'all' | Set<string>>([
    ['agent', 'all'],
    ['args', new Set(['q', 'absent'])],
    ['grant', new Set<string>()],
    ['absent', 'all'],
  ])
  const part = reading('files/y', reads)
  expect(part.context).toBe('{"agent":{"type":"MCP::Agent","id":"demo"},"grant":{},"args":{"q":1}}')
  expect(part.entities).toBe(texts.entities)
  expect(JSON.parse(part.request)).toMatchObject({ action: { id: 'files/y' } })
  expect(reading('files/x', 'all')).toEqual(texts)
})

test('ids are texts, whatever they hold', () => {
  const user = '"},{"__proto__":1'
  const { texts } = toCedarRequest({ ...REQUEST, user }, 'x"/\n', {})
  expect(JSON.parse(texts.request)).toMatchObject({
    principal: { id: user },
    action: { id: 'x"/\n' },
  })
})

test.each([
  { from: '::ffff:10.0.0.1', want: '10.0.0.1' },
  { from: '::FFFF:10.0.0.1', want: '10.0.0.1' },
  { from: 'fe80::1%eth0', want: 'fe80::1' },
  { from: '2001:DB8:0::1', want: '2001:db8::1' },
  { from: '::1', want: '::1' },
])('the address $from is read as $want', ({ from, want }) => {
  const { texts } = toCedarRequest({ ...REQUEST, sourceIp: from }, 'connect', {})
  expect(JSON.parse(texts.context)).toMatchObject({ request: { sourceIp: want } })
})

test.each<{ name: string; change: Partial<AuthorizationRequest> }>([
  ...['', 'a', '1.2.3', '1.2.3.256', '01.2.3.4', '1.2.3.4/8', ':::', '[::1]', '::1]/x'].map(
    (sourceIp) => ({ name: `address ${sourceIp}`, change: { sourceIp } }),
  ),
  { name: 'a time that is none', change: { time: Number.NaN } },
  { name: 'a time before 1970', change: { time: -1 } },
  { name: 'the year 10000', change: { time: 253_402_300_800_000 } },
  {
    name: 'a grant beyond it',
    change: { grant: { id: 'g', expiresAt: Number.POSITIVE_INFINITY } },
  },
  { name: 'half a character', change: { agent: '\ud800' } },
  { name: 'half a team', change: { teams: ['\udc00'] } },
])('$name cannot be put to Cedar', ({ change }) => {
  expect(() => toCedarRequest({ ...REQUEST, ...change }, 'connect', {})).toThrow(RangeError)
})
