// Owns binding what a server coined in its answers to the caller they are for: task ids and `requestState`.
import { META } from '../../../schemas/mcp.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { Bindings, Owner } from '../inbound/bindings.ts'
import { metaOf } from '../inbound/era.ts'
import { stateUse } from '../inbound/open-bound.ts'
import type { Inbound } from '../inbound/receive.ts'
import { ACKNOWLEDGED, TASK_STATES } from './notifications.ts'
import { isObject, unusable } from './server-message.ts'

/** The result with its own ids bound; the same object where it has none. */
export function bindResult(result: JsonObject, inbound: Inbound, bindings: Bindings): JsonObject {
  const { grant, server, method, params } = inbound
  if (grant === null) return result
  const related = bindRelated(result, inbound, bindings)
  const { requestState, taskId, task } = related
  const bound: { -readonly [name in keyof JsonObject]: JsonObject[name] } = {}
  if (typeof requestState === 'string') {
    const owner = { server, grant, use: stateUse({ method, params }) }
    bound['requestState'] = bindings.bind('state', owner, requestState)
  }
  if (typeof taskId === 'string') bound['taskId'] = bindings.bind('task', { server, grant }, taskId)
  if (isObject(task) && typeof task['taskId'] === 'string') {
    const own = bindings.bind('task', { server, grant }, task['taskId'])
    bound['task'] = { ...task, taskId: own }
  }
  return Object.keys(bound).length === 0 ? related : { ...related, ...bound }
}

/** A notification about a task names it as its client knows it. */
export function bindNotification(
  message: JsonObject,
  inbound: Inbound,
  bindings: Bindings,
): JsonObject {
  const { params, method } = message
  const { grant, server } = inbound
  if (grant === null || !isObject(params)) return message
  const related = bindRelated(params, inbound, bindings)
  if (method === ACKNOWLEDGED)
    return { ...message, params: bindListened(related, { server, grant }, bindings) }
  if (TASK_STATES.has(method) && typeof related['taskId'] === 'string') {
    const taskId = bindings.bind('task', { server, grant }, related['taskId'])
    return { ...message, params: { ...related, taskId } }
  }
  return related === params ? message : { ...message, params: related }
}

/** What a server agrees to tell of may name tasks. */
function bindListened(params: JsonObject, owner: Owner, bindings: Bindings): JsonObject {
  const { notifications } = params
  if (!isObject(notifications) || notifications['taskIds'] === undefined) return params
  const { taskIds } = notifications
  if (!Array.isArray(taskIds)) throw unusable('`taskIds` is not a list')
  const own = taskIds.map((id) => {
    if (typeof id !== 'string') throw unusable('the id of a task is not a string')
    return bindings.bind('task', owner, id)
  })
  return { ...params, notifications: { ...notifications, taskIds: own } }
}

/** `_meta` may say which task a message is about. */
export function bindRelated(
  of: JsonObject,
  { grant, server }: Pick<Inbound, 'grant' | 'server'>,
  bindings: Bindings,
): JsonObject {
  const meta = metaOf(of)
  const related = meta?.[META.relatedTask]
  if (grant === null || !isObject(related) || typeof related['taskId'] !== 'string') return of
  const taskId = bindings.bind('task', { server, grant }, related['taskId'])
  return { ...of, _meta: { ...meta, [META.relatedTask]: { ...related, taskId } } }
}
