// Session ids: bound to token and server by a key, and nothing else is taken for one.
import { expect, test } from 'vitest'
import { createSessions } from './session.ts'

const sessions = createSessions('cgp_key')
const wrapped = sessions.wrap('token', 'demo', 'abc')

test('what was wrapped is unwrapped, by every replica with the same key', () => {
  expect(sessions.unwrap('token', 'demo', wrapped)).toBe('abc')
  expect(createSessions('cgp_key').unwrap('token', 'demo', wrapped)).toBe('abc')
})

const [version, id, mac] = wrapped.split('.')
test.each([
  { name: 'another token', unwrap: () => sessions.unwrap('other', 'demo', wrapped) },
  { name: 'another server', unwrap: () => sessions.unwrap('token', 'other', wrapped) },
  { name: 'another key', unwrap: () => createSessions('x').unwrap('token', 'demo', wrapped) },
  { name: 'another id', unwrap: () => sessions.unwrap('token', 'demo', `${version}.YWJk.${mac}`) },
  { name: 'another version', unwrap: () => sessions.unwrap('token', 'demo', `v2.${id}.${mac}`) },
  { name: 'no mac', unwrap: () => sessions.unwrap('token', 'demo', `${version}.${id}.`) },
  { name: 'half a mac', unwrap: () => sessions.unwrap('token', 'demo', wrapped.slice(0, -2)) },
  { name: 'more parts', unwrap: () => sessions.unwrap('token', 'demo', `${wrapped}.x`) },
  { name: 'the bare id', unwrap: () => sessions.unwrap('token', 'demo', 'abc') },
  { name: 'nothing', unwrap: () => sessions.unwrap('token', 'demo', '') },
])('$name: unknown', ({ unwrap }) => {
  expect(unwrap).toThrow(expect.objectContaining({ code: 'unknown_session' }))
})

test.each(['', 'a b', 'ä', 'a\n', 'x'.repeat(1_025)])(
  'a server cannot name a session %j',
  (sessionId) => {
    expect(() => sessions.wrap('token', 'demo', sessionId)).toThrow(
      expect.objectContaining({ code: 'upstream_invalid' }),
    )
  },
)
