// Owns the one call that is measured, and how an answer is known to be the upstream's own. Shared by the load, the
// upstream and the bench bundle's lock; no I/O.

/** The tool definition, exactly as the upstream lists it and as test/bench/bundle locks it. */
export const TOOL = {
  name: 'lookup',
  description: 'Looks a customer up',
  inputSchema: {
    type: 'object',
    properties: {
      customer: { type: 'string' },
      limit: { type: 'integer' },
      verbose: { type: 'boolean' },
    },
    required: ['customer'],
  },
} as const

export const ANSWER_TEXT = JSON.stringify({ customer: 'c-1042', name: 'Ada', orders: [17, 23, 42] })

export const MCP_HEADERS = {
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
  'mcp-protocol-version': '2025-11-25',
} as const

export function callText(id: number): string {
  return `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"lookup","arguments":{"customer":"c-1042","limit":20,"verbose":false}}}`
}

/** What is wrong with an answer to call `id`; undefined for the upstream's own answer, which only an allow can bring. */
export function answerFault(id: number, status: number, text: string): string | undefined {
  if (status !== 200) return `status ${status}: ${text.slice(0, 300)}`
  const message = JSON.parse(text) as {
    id?: unknown
    result?: { isError?: unknown; content?: { text?: unknown }[] }
  }
  if (message.id !== id) return `the answer to ${id} names ${String(message.id)}`
  if (message.result?.isError === true || message.result?.content?.[0]?.text !== ANSWER_TEXT)
    return `not the upstream's answer: ${text.slice(0, 300)}`
  return undefined
}
