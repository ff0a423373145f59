// Owns putting back what the gateway bound on its way out: a client's task ids and `requestState` become the server's
// own before anything is decided, so that what is decided is what is forwarded.
import { type Era, META, METHODS } from '../../../schemas/mcp.ts'
import type { Json, JsonObject } from '../../../schemas/strict-json.ts'
import type { Bindings, Owner } from './bindings.ts'
import { metaOf } from './era.ts'
import type { Message } from './parse.ts'

/**
 * The message of `era` as the server may read it. Throws unknown_task or invalid_state on what was not bound for this owner.
 * A message that names nothing bound comes back as it is.
 */
export function openBound(message: Message, era: Era, owner: Owner, bindings: Bindings): Message {
  // A method that does not exist names nothing.
  const exists = METHODS.get(message.method)?.eras.includes(era) === true
  const isTask = exists && message.method.startsWith('tasks/')
  const { params } = message
  const isRelated = message.text.includes(META.relatedTask)
  if (!isTask && !isRelated && params?.['requestState'] === undefined) return message
  const whole = JSON.parse(message.text) as JsonObject
  const opened = { ...whole }
  if (isObject(whole['params'])) {
    opened['params'] = openParams(
      whole['params'],
      { ...owner, use: stateUse(message) },
      bindings,
      isTask,
    )
  }
  if (isObject(whole['result'])) opened['result'] = openRelated(whole['result'], owner, bindings)
  const own = opened['params']
  return { ...message, params: isObject(own) ? own : undefined, text: JSON.stringify(opened) }
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
  isTask: boolean,
): JsonObject {
  const { requestState, taskId } = params
  const { server, token } = owner
  const opened = { ...openRelated(params, owner, bindings) }
  if (requestState !== undefined)
    opened['requestState'] = bindings.open('state', owner, textOf(requestState))
  if (isTask) opened['taskId'] = bindings.open('task', { server, token }, textOf(taskId))
  return opened
}

function openRelated(of: JsonObject, { server, token }: Owner, bindings: Bindings): JsonObject {
  const meta = metaOf(of)
  const related = meta?.[META.relatedTask]
  if (related === undefined) return of
  const named = isObject(related) ? related : {}
  const taskId = bindings.open('task', { server, token }, textOf(named['taskId']))
  return { ...of, _meta: { ...meta, [META.relatedTask]: { ...named, taskId } } }
}

/** What is no text was not bound by anybody: a server could take the number 5 for the task `5`. */
function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : ''
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
