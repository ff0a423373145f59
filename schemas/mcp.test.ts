// Owns the check of the method table against an outside list: the request and notification types of both MCP SDKs.
// A method that a client may send and the table forgets is denied, which is safe; a method it invents would not be.
import * as current from '@modelcontextprotocol/core'
import * as legacy from '@modelcontextprotocol/sdk/types.js'
import { describe, expect, test } from 'vitest'
import { ITEM_ACTIONS, LEGACY_REVISIONS, METHODS, MODERN_REVISIONS, senderOf } from './mcp.ts'

/** The `method` literals of a union of schemas, as the SDK declares them. */
function methodsOf(union: { options: readonly unknown[] }): string[] {
  return union.options.map((schema) => {
    const { shape } = schema as { shape: { method: { value: string } } }
    return shape.method.value
  })
}

/** Of a task that a server gave to the client: no such task is let through, so its status is nobody's. */
const UNSERVED = ['notifications/tasks/status']
const sentIn = (sdk: typeof legacy | typeof current): string[] =>
  [...methodsOf(sdk.ClientRequestSchema), ...methodsOf(sdk.ClientNotificationSchema)].filter(
    (method) => !UNSERVED.includes(method),
  )

test.each(sentIn(current))('%s, which a client of today may send, is in the table', (method) => {
  expect(METHODS.has(method)).toBe(true)
})

describe('the legacy era', () => {
  test.each(sentIn(legacy))('%s, which a client may send, is in the table', (method) => {
    expect(METHODS.get(method)?.eras ?? []).toContain('legacy')
  })

  test('the revisions are those the SDK knows', () => {
    expect(new Set(LEGACY_REVISIONS)).toEqual(new Set(legacy.SUPPORTED_PROTOCOL_VERSIONS))
  })
})

test('the eras do not overlap, and every item action is reached by a method', () => {
  expect([...MODERN_REVISIONS].filter((revision) => LEGACY_REVISIONS.has(revision))).toEqual([])
  const actions = [...METHODS.values()].flatMap((rule) =>
    rule.decide === 'item' ? [rule.action] : [],
  )
  expect(new Set(actions)).toEqual(new Set(ITEM_ACTIONS))
})

/** Decided by nobody: a ping of a server is answered, and no task is ever given to a client. */
const OWN_OF_SERVERS = ['ping', 'tasks/get', 'tasks/result', 'tasks/list', 'tasks/cancel']

test.each(methodsOf(legacy.ServerRequestSchema))(
  '%s, which a server may send, is its own',
  (method) => {
    expect(senderOf(method)).toBe(OWN_OF_SERVERS.includes(method) ? 'client' : 'server')
  },
)

test.each([...sentIn(legacy), ...sentIn(current), 'response', 'nope', '__proto__'])(
  '%s is of clients',
  (method) => {
    expect(senderOf(method)).toBe('client')
  },
)
