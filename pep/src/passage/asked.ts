// Owns what a server asks of a client: sampling, elicitation, roots. Each is decided and recorded before the client
// hears of it, wherever it stands: a request of its own (legacy), inside a result (modern), inside a task that waits
// for it (modern), inside an error (-32042).
import { RPC } from '../../../schemas/codes.ts'
import { SERVER_REQUESTS } from '../../../schemas/mcp.ts'
import type { Json, JsonObject } from '../../../schemas/strict-json.ts'
import type { Bindings } from '../inbound/bindings.ts'
import type { Inbound } from '../inbound/receive.ts'
import { SERVER_REQUESTS_MAX } from '../limits.ts'
import type { Log } from '../ports.ts'
import type { Settled } from '../record/record.ts'
import { deniedMessage } from '../refuse.ts'
import { bindRelated } from './bind.ts'
import type { Passed, TellServer } from './passage.ts'
import { checkSpelling, idOf, isObject, methodOf, unusable } from './server-message.ts'

/**
 * Decides one request of a server to the client of `inbound`, records it, and answers the verdict. Rejects with
 * GatewayError when it could not be decided or recorded: then nobody may hear of it.
 */
export type AskClient = (inbound: Inbound, request: JsonObject) => Promise<Settled>

const ASKED: ReadonlySet<unknown> = new Set(SERVER_REQUESTS)
const URL_ELICITATION_REQUIRED = -32042

/** Members of what a server asks that a policy, a person or a model goes by. */
const ASKING = [
  'mode', 'message', 'requestedSchema', 'url', 'elicitationId', 'messages', 'systemPrompt', 'modelPreferences',
  'includeContext', 'maxTokens', 'tools', 'toolChoice',
] // biome-ignore format: a list

/** A request of a server, of the legacy era. What is denied the server gets an error for, and the client nothing. */
export function passServerRequest(
  {
    ask,
    log,
    bindings,
  }: { readonly ask: AskClient; readonly log: Log; readonly bindings: Bindings },
  inbound: Inbound,
  message: JsonObject,
  tellServer: TellServer,
): Passed | Promise<Passed> {
  const method = methodOf(message)
  const refuse = (code: number, text: string): null => {
    log.info({ server: inbound.server, method: method.slice(0, 64) }, 'not asked of the client')
    const error = { code, message: text }
    tellServer(JSON.stringify({ jsonrpc: '2.0', id: idOf(message) ?? null, error }))
    return null
  }
  if (inbound.era === 'modern')
    throw unusable('a server has no requests of its own in this revision')
  if (method === 'ping') return message
  if (!ASKED.has(method))
    return refuse(RPC.methodNotFound, 'the gateway does not offer this method')
  if (isRespelled(message)) return refuse(RPC.invalidParams, 'a parameter is spelled otherwise')
  return ask(inbound, message).then(
    ({ decision, text }) => {
      if (decision === 'deny') return refuse(RPC.denied, text)
      const { params } = message
      // Another object: the client gets what was decided on, written again.
      return isObject(params)
        ? { ...message, params: bindRelated(params, inbound, bindings) }
        : { ...message }
    },
    () => refuse(RPC.unavailable, 'the gateway could not decide this'),
  )
}

/**
 * The response if all that it asks of the client is allowed; else its denial. Comes back at once where it asks for
 * nothing.
 */
export function decideWithin(
  ask: AskClient,
  inbound: Inbound,
  message: JsonObject,
): JsonObject | Promise<JsonObject> {
  const requests = requestsIn(message, inbound.method)
  if (requests.length === 0) return message
  return firstDenial(ask, inbound, requests).then((denial) =>
    // Another object: the client gets what was decided on, written again.
    denial === undefined ? { ...message } : deniedMessage(inbound, denial),
  )
}

/**
 * A notification of a task, if all that the task asks of the client is allowed; else nothing, for it has no answer to
 * say why in. Who looks at the task is told.
 */
export function decideTold(
  ask: AskClient,
  inbound: Inbound,
  message: JsonObject,
): JsonObject | Promise<Passed> {
  const { params } = message
  const requests = isObject(params) ? requestsOfTask(params) : []
  if (requests.length === 0) return message
  return firstDenial(ask, inbound, requests).then(
    (denial) => (denial === undefined ? { ...message } : null),
    // Undecided: nobody may hear of it, and the rest of the stream is as good as before.
    () => null,
  )
}

/** Rejects when one of them could not be decided, or is nothing that a server may ask. */
async function firstDenial(
  ask: AskClient,
  inbound: Inbound,
  requests: readonly JsonObject[],
): Promise<Settled | undefined> {
  for (const request of requests) {
    if (!ASKED.has(request['method'])) throw unusable('it asks for what the gateway does not know')
    if (isRespelled(request)) throw unusable('a parameter of what it asks is spelled otherwise')
    const verdict = await ask(inbound, request)
    if (verdict.decision === 'deny') return verdict
  }
  return undefined
}

function isRespelled({ params }: JsonObject): boolean {
  try {
    if (isObject(params)) checkSpelling(params, ASKING)
    return false
  } catch {
    return true // The one thing that it throws for.
  }
}

/** As the requests they would be of their own. */
function requestsIn({ result, error }: JsonObject, method: string): readonly JsonObject[] {
  if (isObject(error)) return atMost(elicitations(error))
  if (!isObject(result)) return []
  if (method === 'tasks/get') return requestsOfTask(result)
  if (result['inputRequests'] !== undefined && result['resultType'] === 'complete')
    throw unusable('it is complete, and asks for input')
  return atMost(inputRequests(result))
}

/** A task that waits is a complete answer to who looks at it (SEP-2663); what it ended with asks for nothing any more. */
function requestsOfTask(task: JsonObject): readonly JsonObject[] {
  checkSpelling(task, ['inputRequests', 'result', 'error', 'taskId'])
  const { result, error } = task
  if (isObject(result)) {
    checkSpelling(result, ['inputRequests'])
    if ('inputRequests' in result) throw unusable('a task ended, and asks for input')
  }
  return atMost([...inputRequests(task), ...(isObject(error) ? elicitations(error) : [])])
}

function atMost(requests: readonly JsonObject[]): readonly JsonObject[] {
  if (requests.length > SERVER_REQUESTS_MAX) throw unusable('it asks for too much at once')
  return requests
}

function inputRequests({ inputRequests: requests }: JsonObject): JsonObject[] {
  if (requests === undefined) return []
  if (!isObject(requests)) throw unusable('`inputRequests` is not an object')
  return Object.entries(requests).map(([id, request]) => {
    if (!isObject(request)) throw unusable('an input request is not an object')
    checkSpelling(request, ['method', 'params'])
    return requestOf(id, request['method'], request['params'])
  })
}

function elicitations(error: JsonObject): JsonObject[] {
  checkSpelling(error, ['code', 'data'])
  const { code, data } = error
  if (code !== URL_ELICITATION_REQUIRED) return []
  if (isObject(data)) checkSpelling(data, ['elicitations'])
  const asked = isObject(data) ? data['elicitations'] : undefined
  if (!Array.isArray(asked)) throw unusable('it requires an elicitation and names none')
  return asked.map((params, index) =>
    requestOf(`elicitation-${index}`, 'elicitation/create', params),
  )
}

function requestOf(id: string, method: Json | undefined, params: Json | undefined): JsonObject {
  const named = { jsonrpc: '2.0', id, method: typeof method === 'string' ? method : '' }
  return params === undefined ? named : { ...named, params }
}

/** One request of a server as something to decide, on its way to the client of `inbound`. */
export function asInbound(inbound: Inbound, requestId: string, request: JsonObject): Inbound {
  const { params } = request
  return {
    ...inbound,
    requestId,
    from: 'server',
    method: methodOf(request),
    kind: 'request',
    id: idOf(request),
    tool: undefined,
    params: isObject(params) ? params : undefined,
    text: JSON.stringify(request),
    headers: {},
  }
}
