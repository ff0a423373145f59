// Bindings: what a server coined is opened for the grant, server and use it was coined for, by every PEP that has the
// server's keys, and for nobody else.
import { expect, test } from 'vitest'
import type { BindingKey } from '../../../schemas/pep-api.ts'
import { REQUEST_STATE_MS_MAX } from '../limits.ts'
import { type Bindings, type Bound, createBindings } from './bindings.ts'

const keyOf = (server: string, id: string, byte = 1): BindingKey => {
  return { server, id, key: Buffer.alloc(32, byte).toString('base64url') }
}
let time = 1_000_000_000_000
const withKeys = (...keys: readonly BindingKey[]): Bindings => {
  const bindings = createBindings(() => time)
  bindings.use(keys)
  return bindings
}
const OWNER = { server: 'demo', grant: 'alice', use: 'tools/call pay' }
const one = withKeys(keyOf('demo', 'k1'))
const replica = withKeys(keyOf('demo', 'k1'))
const KINDS: readonly Bound[] = ['session', 'task', 'state']
type AsymmetricMatcher = { readonly asymmetricMatch: (other: unknown) => boolean }
const CODES = { session: 'unknown_session', task: 'unknown_task', state: 'invalid_state' }

test.each(KINDS)('a %s is opened by every replica, and says nothing of itself', (kind) => {
  const bound = one.bind(kind, OWNER, 'abc')
  expect(bound).toMatch(/^[\w.-]+$/)
  expect(replica.open(kind, OWNER, bound)).toBe('abc')
})

test.each(KINDS)('a %s of somebody else, for something else, or changed is refused', (kind) => {
  const bound = one.bind(kind, OWNER, 'abc')
  const [version, id, made, value, tag = ''] = bound.split('.')
  const refused = expect.objectContaining({ code: CODES[kind] }) as AsymmetricMatcher
  const odd: [string, () => string][] = [
    ['grant', () => one.open(kind, { ...OWNER, grant: 'bob' }, bound)],
    ['server', () => withKeys(keyOf('demo', 'k1'), keyOf('twin', 'k1')).open(kind, { ...OWNER, server: 'twin' }, bound)],
    ['use', () => one.open(kind, { ...OWNER, use: 'tools/call' }, bound)],
    ['kind', () => one.open(kind === 'task' ? 'task' : kind, OWNER, one.bind(kind === 'task' ? 'session' : 'task', OWNER, 'abc'))],
    ['key', () => withKeys(keyOf('demo', 'k1', 2)).open(kind, OWNER, bound)],
    ['key id', () => withKeys(keyOf('demo', 'k2')).open(kind, OWNER, bound)],
    ['no keys', () => withKeys().open(kind, OWNER, bound)],
    ['value', () => one.open(kind, OWNER, [version, id, made, 'YWJk', tag].join('.'))],
    ['time', () => one.open(kind, OWNER, [version, id, 'zzzzzzzz', value, tag].join('.'))],
    ['version', () => one.open(kind, OWNER, ['v1', id, made, value, tag].join('.'))],
    ['half a tag', () => one.open(kind, OWNER, bound.slice(0, -2))],
    ['no tag', () => one.open(kind, OWNER, [version, id, made, value, ''].join('.'))],
    ['padded tag', () => one.open(kind, OWNER, `${bound}=`)],
    ['more', () => one.open(kind, OWNER, `${bound}.x`)],
    ['the bare value', () => one.open(kind, OWNER, 'abc')],
    ['nothing', () => one.open(kind, OWNER, '')],
  ] // biome-ignore format: a table
  const opened = odd.filter(([, open]) => {
    try {
      open()
      return true
    } catch (error) {
      return !refused.asymmetricMatch(error)
    }
  })
  expect(opened.map(([name]) => name)).toEqual([])
})

test('the first key binds, and those before and after are accepted', () => {
  const before = withKeys(keyOf('demo', 'k1')).bind('session', OWNER, 'abc')
  const now = withKeys(keyOf('demo', 'k2', 2), keyOf('demo', 'k1'))
  expect(now.open('session', OWNER, before)).toBe('abc')
  expect(now.bind('session', OWNER, 'abc')).toMatch(/^v2\.k2\./)
})

test('a state has an end, a session has none', () => {
  const state = one.bind('state', OWNER, 'abc')
  const session = one.bind('session', OWNER, 'abc')
  time += REQUEST_STATE_MS_MAX
  expect(one.open('state', OWNER, state)).toBe('abc')
  time += 1
  expect(() => one.open('state', OWNER, state)).toThrow(
    expect.objectContaining({ code: 'invalid_state' }),
  )
  expect(one.open('session', OWNER, session)).toBe('abc')
})

test('nothing is bound without a key', () => {
  expect(() => withKeys().bind('session', OWNER, 'abc')).toThrow(
    expect.objectContaining({ code: 'pdp_unavailable' }),
  )
})

test.each([
  ['session', ''], ['session', 'a b'], ['session', 'ä'], ['session', 'a\n'], ['session', 'x'.repeat(1_025)],
  ['task', 'x'.repeat(1_025)], ['task', '\ud800'], ['state', '\ud800'],
] as const)('a server cannot name a %s %j', (kind, value) => {
  expect(() => one.bind(kind, OWNER, value)).toThrow(
    expect.objectContaining({ code: 'upstream_invalid' }),
  )
}) // biome-ignore format: a list
