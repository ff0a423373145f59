// Owns putting back what the gateway bound on its way out: a client's task ids and `requestState` become the server's
// own before anything is decided, so that what is decided is what is forwarded.
import { type Era, META, METHODS, TASKS_EXTENSION } from '../../../schemas/mcp.ts'
import type { Json, JsonObject } from '../../../schemas/strict-json.ts'
import { GatewayError } from '../gateway-error.ts'
import { subscribedTasks } from '../subscription.ts'
import type { Bindings, Owner } from './bindings.ts'
import { metaOf } from './era.ts'
import type { Message } from './parse.ts'

/**
 * The message of `era` as the server may read it. Throws unknown_task or invalid_state on what was not bound for this
 * owner, missing_capability in place of unknown_task where the client did not say that it knows tasks, and what
 * `subscribedTasks` throws. A message that names nothing bound comes back as it is.
 */
export function openBound(message: Message, era: Era, owner: Owner, bindings: Bindings): Message {
  // A method that does not exist names nothing.
  const exists = METHODS.get(message.method)?.eras.includes(era) === true
  const isTask = exists && message.method.startsWith('tasks/')
  const listened = exists ? subscribedTasks(message) : []
  const { params } = message
  const isRelated = message.text.includes(META.relatedTask)
  if (!isTask && !isRelated && listened.length === 0 && params?.['requestState'] === undefined)
    return message
  try {
    return opened(message, { isTask, listened }, owner, bindings)
  } catch (error) {
    throw isUnknownTask(error) && era === 'modern' && !declaresTasks(params) ? undeclared() : error
  }
}

type Tasks = { readonly isTask: boolean; readonly listened: readonly string[] }

function opened(message: Message, tasks: Tasks, owner: Owner, bindings: Bindings): Message {
  const whole = JSON.parse(message.text) as JsonObject
  const own: { -readonly [name in keyof JsonObject]: JsonObject[name] } = { ...whole }
  if (isObject(whole['params'])) {
    const named = { ...owner, use: stateUse(message) }
    own['params'] = openParams(whole['params'], named, bindings, tasks)
  }
  if (isObject(whole['result'])) own['result'] = openRelated(whole['result'], owner, bindings)
  const params = own['params']
  return { ...message, params: isObject(params) ? params : undefined, text: JSON.stringify(own) }
}

function isUnknownTask(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'unknown_task'
}

function declaresTasks(params: JsonObject | undefined): boolean {
  const capabilities = metaOf(params)?.[META.clientCapabilities]
  const extensions = isObject(capabilities) ? capabilities['extensions'] : undefined
  return isObject(extensions) && extensions[TASKS_EXTENSION] !== undefined
}

/** As a server must say it, before it looks for the task (SEP-2663). */
function undeclared(): GatewayError {
  const data = { requiredCapabilities: { extensions: { [TASKS_EXTENSION]: {} } } }
  return new GatewayError('missing_capability', 'the client did not declare tasks', { data })
}

/** What a `requestState` is good for: the same request of the same thing. */
export function stateUse({ method, params }: Pick<Message, 'method' | 'params'>): string {
  const named = params?.['name'] ?? params?.['uri']
  return `${method} ${typeof named === 'string' ? named : ''}`
}

function openParams(
  params: JsonObject,
  owner: Owner,
  bindings: Bindings,
  { isTask, listened }: Tasks,
): JsonObject {
  const { requestState, taskId, notifications } = params
  const { server, grant } = owner
  const openTask = (id: Json) => bindings.open('task', { server, grant }, textOf(id))
  const own = { ...openRelated(params, owner, bindings) }
  if (requestState !== undefined)
    own['requestState'] = bindings.open('state', owner, textOf(requestState))
  if (isTask && taskId !== undefined) own['taskId'] = openTask(taskId)
  if (listened.length > 0 && isObject(notifications))
    own['notifications'] = { ...notifications, taskIds: listened.map(openTask) }
  return own
}

function openRelated(of: JsonObject, { server, grant }: Owner, bindings: Bindings): JsonObject {
  const meta = metaOf(of)
  const related = meta?.[META.relatedTask]
  if (related === undefined) return of
  const named = isObject(related) ? related : {}
  const taskId = bindings.open('task', { server, grant }, textOf(named['taskId']))
  return { ...of, _meta: { ...meta, [META.relatedTask]: { ...named, taskId } } }
}

/** What is no text was not bound by anybody: a server could take the number 5 for the task `5`. */
function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : ''
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
