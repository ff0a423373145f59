// Owns what of a server's messages reaches its client: every one goes through here, whichever way it came and goes on.
// Answers pass as they are, lists as the verdict shows them, and what the server asks of the client is decided.
import type { RefusalCode } from '../../../schemas/codes.ts'
import type { Verdict } from '../../../schemas/pep-api.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { Bindings } from '../inbound/bindings.ts'
import type { Inbound } from '../inbound/receive.ts'
import type { Log } from '../ports.ts'
import { refusedMessage } from '../refuse.ts'
import type { ShowTools } from '../reviewed.ts'
import { subscribedTasks, subscribedUris } from '../subscription.ts'
import { type AskClient, decideTold, decideWithin, passServerRequest } from './asked.ts'
import { bindNotification, bindResult } from './bind.ts'
import { describe } from './describe.ts'
import { filterResult, type ListFilter, listFilterOf, withheldList } from './list.ts'
import { NOTIFICATIONS, RESOURCE_UPDATED, TASK_STATES, TOOLS_CHANGED } from './notifications.ts'
import {
  checkSpelling,
  idOf,
  isErrorMessage,
  isObject,
  kindOf,
  methodOf,
  unusable,
} from './server-message.ts'

/** What the client gets of one message: the same object as it was sent, another one in its place, or nothing. */
export type Passed = JsonObject | null
/** Sends the server an answer to a request of its own. */
export type TellServer = (text: string) => void

/** The way back of one call: of its answer, and of what else the server says on the same stream. */
export type Passage = {
  /**
   * Throws or rejects with GatewayError on what cannot be used. The next message is passed only when this one was.
   */
  readonly pass: (message: JsonObject, tellServer: TellServer) => Passed | Promise<Passed>
  /** Whether the answer itself has passed, and if so whether it was an error. */
  readonly answered: () => { readonly isError: boolean } | undefined
  /** What the client gets in place of an answer that cannot be had; undefined where it waits for none. */
  readonly refuse: (code: RefusalCode) => JsonObject | undefined
}

export type PassagePorts = {
  readonly bindings: Bindings
  readonly showTools: ShowTools
  /** Told when a list of tools was shown by this verdict. */
  readonly onListed: (of: Inbound, verdict: Showing) => void
  /** The server said that its tools changed. */
  readonly onToolsChanged: (server: string) => void
  /** Whether models may read the `instructions` of a server. */
  readonly passesInstructions: (server: string) => boolean
  /** Decides what a server asks of a client, and records it. */
  readonly ask: AskClient
  readonly log: Log
}

/** What of a verdict the way back goes by. */
export type Showing = Pick<Verdict, 'visible'>

/** The way back of `inbound`, which `verdict` allowed. Throws verdict_mismatch for a list without `visible`. */
export function createPassage(ports: PassagePorts, inbound: Inbound, verdict: Showing): Passage {
  const filter = listFilterOf(inbound, verdict, ports.showTools)
  let answered: { readonly isError: boolean } | undefined
  const note = (message: JsonObject): JsonObject => {
    if (isAnswerTo(inbound, message)) answered ??= { isError: isErrorMessage(message) }
    return message
  }
  return {
    pass(message, tellServer) {
      const kind = kindOf(message)
      if (kind === 'request') return passServerRequest(ports, inbound, message, tellServer)
      if (kind === 'notification') return passNotification(ports, inbound, message)
      if (!mayPass(inbound, message)) return null
      const passed = passResponse(ports, inbound, filter, message)
      if (filter?.listed === 'tools' && 'result' in message) ports.onListed(inbound, verdict)
      return passed instanceof Promise ? passed.then(note) : note(passed)
    },
    answered: () => answered,
    refuse: (code) =>
      inbound.kind === 'request'
        ? refusedMessage({ code, requestId: inbound.requestId, of: inbound })
        : undefined,
  }
}

/** Clients take "1" for 1, and an error without an id for theirs. */
function isAnswerTo({ kind, id }: Inbound, message: JsonObject): boolean {
  const answers = idOf(message)
  return kind === 'request' && (answers === undefined || String(answers) === String(id))
}

/**
 * Only a resumed stream carries results of other requests: on any other, one would get past what its own request is
 * decided and filtered by. Errors carry nothing, and servers are loose about what they are of.
 */
function mayPass(inbound: Inbound, message: JsonObject): boolean {
  return inbound.kind === 'stream' || 'error' in message || isAnswerTo(inbound, message)
}

function passNotification(
  ports: PassagePorts,
  inbound: Inbound,
  message: JsonObject,
): Passed | Promise<Passed> {
  const method = methodOf(message)
  if (!NOTIFICATIONS.has(method)) {
    ports.log.debug({ server: inbound.server, method: method.slice(0, 64) }, 'not passed on')
    return null
  }
  if (!isSubscribed(inbound, message)) return null
  if (method === TOOLS_CHANGED) ports.onToolsChanged(inbound.server)
  const bound = bindNotification(message, inbound, ports.bindings)
  return TASK_STATES.has(method) ? decideTold(ports.ask, inbound, bound) : bound
}

/**
 * An update of a resource that was not allowed, nor is below one that was, is not passed to a subscription; nor is the
 * state of a task that it did not name by the id its caller has.
 */
function isSubscribed(inbound: Inbound, { method, params }: JsonObject): boolean {
  if (inbound.method !== 'subscriptions/listen') return true
  const { uri, taskId } = isObject(params) ? params : {}
  if (TASK_STATES.has(method)) return subscribedTasks(inbound).some((known) => known === taskId)
  if (method !== RESOURCE_UPDATED) return true
  return typeof uri === 'string' && subscribedUris(inbound).some((known) => isAtOrBelow(uri, known))
}

/** `file:///a/b` is below `file:///a`, and `file:///ab` is not; nor is what climbs out again. */
function isAtOrBelow(uri: string, known: string): boolean {
  if (uri === known) return true
  if (!uri.startsWith(known) || CLIMBS.test(uri)) return false
  return known.endsWith('/') || /^[/?#]/.test(uri.slice(known.length))
}

/** A segment `..`, encoded or not. */
const CLIMBS = /(?:^|[/\\]|%(?:25)*(?:2f|5c))(?:\.|%(?:25)*2e){2}(?:$|[/\\?#]|%(?:25)*(?:2f|5c))/i

/** Members of results that are read here. */
const READ = ['resultType', 'inputRequests', 'requestState', 'instructions', 'taskId', 'task']

function passResponse(
  ports: PassagePorts,
  inbound: Inbound,
  filter: ListFilter | undefined,
  message: JsonObject,
): JsonObject | Promise<JsonObject> {
  const { result, error } = message
  if (error !== undefined) return decideWithin(ports.ask, inbound, message)
  if (!isObject(result)) throw unusable('its result is not an object')
  checkSpelling(result, READ)
  if (inbound.kind === 'stream') {
    const withheld = withheldList(message, result)
    if (withheld !== undefined) return withheld
  }
  const shown = filter === undefined ? result : filterResult(result, filter)
  const described = describe(shown, inbound, ports.passesInstructions(inbound.server))
  const bound = bindResult(described, inbound, ports.bindings)
  const passed = bound === result ? message : { ...message, result: bound }
  return decideWithin(ports.ask, inbound, passed)
}
