// Owns the stdio server of the benchmark `streams`: says something every second, and who it is when asked. As small as
// a server can be; plain JavaScript, so that a hundred of them start in bearable time.
import { randomUUID } from 'node:crypto'
import { createInterface } from 'node:readline'

// By its title it is found from outside of a sandbox too.
process.title = `bench-${randomUUID()}`

const say = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)

const RESULTS = {
  initialize: () => ({
    protocolVersion: '2025-11-25',
    capabilities: { tools: {}, logging: {} },
    serverInfo: { name: 'child', version: '1' },
  }),
  'tools/list': () => ({ tools: JSON.parse(process.argv[2] ?? '[]') }),
  'tools/call': () => ({ content: [{ type: 'text', text: process.title }] }),
}

const lines = createInterface({ input: process.stdin })
lines.on('line', (line) => {
  const { id, method } = JSON.parse(line)
  if (method === 'notifications/initialized')
    setInterval(() => {
      const _meta = { at: performance.timeOrigin + performance.now() }
      say({ method: 'notifications/message', params: { level: 'info', data: 'tick', _meta } })
    }, 1_000)
  if (id !== undefined && method !== undefined) say({ id, result: RESULTS[method]?.() ?? {} })
})
lines.on('close', () => process.exit(0))
