// Owns stand-ins for the model APIs that agents call, on loopback: each makes its agent call one tool once, and keeps what
// the agent then gives its model. There is no model, and nothing leaves the machine.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { z } from 'zod'

/** The call that the stub makes its agent make, by the tool's name on its server. */
export type ToolCall = { readonly tool: string; readonly args: Readonly<Record<string, unknown>> }
/** What the agent gave its model as the answer. `isError` is undefined where the API has no word for it. */
export type ModelSaw = { readonly text: string; readonly isError: boolean | undefined }

export type Stub = {
  readonly origin: string
  /** Undefined until the agent asked its model again after the call. */
  readonly saw: () => ModelSaw | undefined
  readonly close: () => Promise<void>
}

/** The name an agent's configuration gives the gateway's server. */
export const SERVER_NAME = 'gw'
const CALL_ID = 'toolu_cedargate'

type Api = {
  readonly path: string
  /** What an agent's request says of the call; undefined when it does not say anything yet. */
  readonly answerIn: (body: unknown) => ModelSaw | undefined
  /** Whether this is a request that may be answered with a call: agents ask small things of their models too. */
  readonly mayCall: (body: unknown) => boolean
  readonly call: (call: ToolCall) => readonly SseEvent[]
  readonly text: (text: string) => readonly SseEvent[]
}
type SseEvent = { readonly type: string } & Readonly<Record<string, unknown>>

/** The Messages API, as far as Claude Code needs it. */
export const startMessagesStub = (call: ToolCall): Promise<Stub> => startStub(MESSAGES, call)
/** The Responses API, as far as Codex needs it. */
export const startResponsesStub = (call: ToolCall): Promise<Stub> => startStub(RESPONSES, call)

async function startStub(api: Api, call: ToolCall): Promise<Stub> {
  let saw: ModelSaw | undefined
  const answer = async (request: IncomingMessage, to: ServerResponse): Promise<void> => {
    const chunks = (await request.toArray()) as Buffer[]
    if (request.method !== 'POST' || new URL(request.url ?? '', 'http://x').pathname !== api.path) {
      to.writeHead(404, { 'content-type': 'application/json' }).end('{}')
      return
    }
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'))
    saw ??= api.answerIn(body)
    const events = saw === undefined && api.mayCall(body) ? api.call(call) : api.text('done')
    to.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const event of events) to.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
    to.end()
  }
  const server = createServer((request, to) => {
    answer(request, to).catch((error: unknown) =>
      to.writeHead(500).end(JSON.stringify({ error: { message: String(error) } })),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    saw: () => saw,
    close: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

/** Text of a string, or of a list of blocks that may have some. */
const words = z
  .union([z.string(), z.array(z.looseObject({ text: z.string().optional() }))])
  .transform((said) => {
    return typeof said === 'string' ? said : said.map(({ text }) => text ?? '').join('\n')
  })

const toolResult = z.looseObject({
  type: z.literal('tool_result'),
  tool_use_id: z.literal(CALL_ID),
  content: words,
  is_error: z.boolean().default(false),
})
const messagesBody = z.looseObject({
  tools: z.array(z.unknown()).default([]),
  messages: z.array(z.looseObject({ content: z.union([z.string(), z.array(z.unknown())]) })),
})

const MESSAGES: Api = {
  path: '/v1/messages',
  answerIn(body) {
    const blocks = messagesBody.parse(body).messages.flatMap(({ content }) => content)
    const [found] = blocks.flatMap((block) => toolResult.safeParse(block).data ?? [])
    return found === undefined ? undefined : { text: found.content, isError: found.is_error }
  },
  mayCall: (body) => messagesBody.parse(body).tools.length > 0,
  call({ tool, args }) {
    const name = `mcp__${SERVER_NAME}__${tool}`
    const block = { type: 'tool_use', id: CALL_ID, name, input: {} }
    const delta = { type: 'input_json_delta', partial_json: JSON.stringify(args) }
    return message(block, delta, 'tool_use')
  },
  text: (text) => message({ type: 'text', text: '' }, { type: 'text_delta', text }, 'end_turn'),
}

function message(block: object, delta: object, stop: string): SseEvent[] {
  const usage = { input_tokens: 1, output_tokens: 1 }
  const head = { id: 'msg_cedargate', type: 'message', role: 'assistant', model: 'stub' }
  const empty = { content: [], stop_reason: null, stop_sequence: null, usage }
  return [
    { type: 'message_start', message: { ...head, ...empty } },
    { type: 'content_block_start', index: 0, content_block: block },
    { type: 'content_block_delta', index: 0, delta },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: stop, stop_sequence: null }, usage },
    { type: 'message_stop' },
  ]
}

const callOutput = z.looseObject({
  type: z.literal('function_call_output'),
  call_id: z.literal(CALL_ID),
  output: words,
})
const responsesBody = z.looseObject({ input: z.array(z.unknown()) })

const RESPONSES: Api = {
  path: '/v1/responses',
  answerIn(body) {
    const items = responsesBody.parse(body).input
    const [found] = items.flatMap((item) => callOutput.safeParse(item).data ?? [])
    return found === undefined ? undefined : { text: found.output, isError: undefined }
  },
  mayCall: () => true,
  call({ tool, args }) {
    const name = { namespace: `mcp__${SERVER_NAME}`, name: tool }
    const item = { type: 'function_call', call_id: CALL_ID, ...name }
    return response({ ...item, arguments: JSON.stringify(args) })
  },
  text: (text) => {
    const content = [{ type: 'output_text', text }]
    return response({ type: 'message', role: 'assistant', content })
  },
}

function response(item: object): SseEvent[] {
  const usage = { input_tokens: 1, output_tokens: 1, total_tokens: 2 }
  return [
    { type: 'response.created', response: { id: 'resp_cedargate' } },
    { type: 'response.output_item.done', output_index: 0, item },
    { type: 'response.completed', response: { id: 'resp_cedargate', usage } },
  ]
}
