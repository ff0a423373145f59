// Where a credential goes, as server.yaml says it.
import { expect, test } from 'vitest'
import { destinationOf } from './destination.ts'

const env = { CEDARGATE_SERVER_HOST: 'https://notes.test', CEDARGATE_HOME: '/home' }
test.each([
  { url: 'https://notes.test/mcp?x=1', command: null, want: 'https://notes.test' },
  { url: 'https://NOTES.test:443/other', command: null, want: 'https://notes.test' },
  { url: 'https://notes.test:8443/mcp', command: null, want: 'https://notes.test:8443' },
  { url: 'https://notes.test.evil.test/mcp', command: null, want: 'https://notes.test.evil.test' },
  { url: '${CEDARGATE_SERVER_HOST}/mcp', command: null, want: 'https://notes.test' }, // biome-ignore format: short
  { url: '${CEDARGATE_SERVER_OTHER}/mcp', command: null, want: '${CEDARGATE_SERVER_OTHER}/mcp' },
  { url: 'http://127.0.0.1:${PORT}/mcp', command: 'server', want: 'process' },
  { url: null, command: 'server', want: 'process' },
])('$url, $command', ({ url, command, want }) => {
  expect(destinationOf({ url, command }, env)).toBe(want)
})
