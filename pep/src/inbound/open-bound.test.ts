// Putting back what was bound: task ids of the caller become the server's own wherever a message names them, and no
// other id gets to a server.
import { describe, expect, test } from 'vitest'
import { META, TASKS_EXTENSION } from '../../../schemas/mcp.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { SUBSCRIBED_TASKS_MAX } from '../limits.ts'
import { createBindings } from './bindings.ts'
import { openBound } from './open-bound.ts'
import { parseMessage } from './parse.ts'

const bindings = createBindings(() => 1_000_000)
bindings.use([{ server: 'demo', id: 'k', key: Buffer.alloc(32, 1).toString('base64url') }])
const OWNER = { server: 'demo', grant: 'alice' }
const OWN = bindings.bind('task', OWNER, 't-1')
const BOBS = bindings.bind('task', { ...OWNER, grant: 'bob' }, 't-1')

const declaring = (extensions: JsonObject): JsonObject => {
  return { _meta: { [META.clientCapabilities]: { extensions } } }
}
const DECLARED = declaring({ [TASKS_EXTENSION]: {} })
const opened = (method: string, params: JsonObject, era: 'legacy' | 'modern' = 'modern') => {
  const text = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })
  return openBound(parseMessage(Buffer.from(text)), era, OWNER, bindings)
}
const listening = (taskIds: unknown): JsonObject => {
  return { ...DECLARED, notifications: { toolsListChanged: true, taskIds } as JsonObject }
}
const refused = (code: string) => expect.objectContaining({ code })

describe.each(['tasks/get', 'tasks/update', 'tasks/cancel'])('%s', (method) => {
  test('names the task as its server does, in what is decided and what is forwarded', () => {
    const { params, text } = opened(method, { ...DECLARED, taskId: OWN })
    expect(params?.['taskId']).toBe('t-1')
    expect(JSON.parse(text)).toMatchObject({ params: { ...DECLARED, taskId: 't-1' } })
  })

  test.each([
    { name: 'the server’s own id', taskId: 't-1' },
    { name: 'the id of somebody else', taskId: BOBS },
    { name: 'a list of it, which some servers read as a string', taskId: ['t-1'] },
    { name: 'a number', taskId: 7 },
  ])('with $name is refused', ({ taskId }) => {
    expect(() => opened(method, { ...DECLARED, taskId })).toThrow(refused('unknown_task'))
  })
})

describe('a client that does not say that it knows tasks', () => {
  const data = { requiredCapabilities: { extensions: { [TASKS_EXTENSION]: {} } } }

  test.each([{}, declaring({}), declaring({ 'io.example/x': {} })])(
    'hears that first, as from a server: %j',
    (meta) => {
      const missing = expect.objectContaining({ code: 'missing_capability', data })
      expect(() => opened('tasks/get', { ...meta, taskId: 'x' })).toThrow(missing)
      const listen = { ...listening(['x']), ...meta, ...('_meta' in meta ? {} : { _meta: {} }) }
      expect(() => opened('subscriptions/listen', listen)).toThrow(missing)
    },
  )

  test('is heard by the server about its own task, which may be less strict', () => {
    expect(opened('tasks/get', { taskId: OWN }).params).toEqual({ taskId: 't-1' })
  })

  test('has nothing to say in the legacy era', () => {
    expect(() => opened('tasks/get', { taskId: 'x' }, 'legacy')).toThrow(refused('unknown_task'))
  })
})

describe('a subscription to tasks', () => {
  test('names them as their server does, each once', () => {
    const { params, text } = opened('subscriptions/listen', listening([OWN, OWN]))
    expect(params).toEqual(listening(['t-1']))
    expect(JSON.parse(text)).toMatchObject({ params: listening(['t-1']) })
  })

  test.each([
    { name: 'the server’s own id', taskIds: [OWN, 't-1'], code: 'unknown_task' },
    { name: 'the id of somebody else', taskIds: [BOBS], code: 'unknown_task' },
    { name: 'no list', taskIds: OWN, code: 'not_a_message' },
    { name: 'no ids', taskIds: [7], code: 'not_a_message' },
  ])('of $name is refused', ({ taskIds, code }) => {
    expect(() => opened('subscriptions/listen', listening(taskIds))).toThrow(refused(code))
  })

  test('of more than SUBSCRIBED_TASKS_MAX is refused, of just as many it is not', () => {
    const ids = Array.from({ length: SUBSCRIBED_TASKS_MAX + 1 }, (_, at) =>
      bindings.bind('task', OWNER, `t-${at}`),
    )
    const most = opened('subscriptions/listen', listening(ids.slice(1)))
    expect(most.params).toMatchObject({ notifications: { taskIds: { length: 256 } } })
    expect(() => opened('subscriptions/listen', listening(ids))).toThrow(
      refused('too_many_requests'),
    )
  })

  test('of none is what it was', () => {
    const params = { ...DECLARED, notifications: { toolsListChanged: true } }
    expect(JSON.parse(opened('subscriptions/listen', params).text)).toMatchObject({ params })
  })
})
