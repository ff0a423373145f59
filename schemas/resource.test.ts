// Whether a resource is that of a url, beside what the MCP SDK says.
import { checkResourceAllowed } from '@modelcontextprotocol/client'
import { expect, test } from 'vitest'
import { covers } from './resource.ts'

const URL_OF = 'https://files.test/a/mcp'
test.each([
  { resource: 'https://files.test', want: true },
  { resource: 'https://files.test:443/a', want: true },
  { resource: `${URL_OF}?x=1`, want: true },
  { resource: `${URL_OF}/deeper`, want: false },
  { resource: 'https://files.test/a/m', want: false },
  { resource: 'https://files.test/b', want: false },
  { resource: 'https://files.test:8443/', want: false },
  { resource: 'http://files.test/', want: false },
  { resource: 'https://victim.test/', want: false },
  { resource: 'https://files.test.victim.test/', want: false },
])('$resource: $want', ({ resource, want }) => {
  expect(covers(resource, URL_OF)).toBe(want)
  const asked = { requestedResource: URL_OF, configuredResource: resource }
  expect(checkResourceAllowed(asked)).toBe(want)
})

test('a slash at the end is nothing deeper', () => {
  expect(covers(`${URL_OF}/`, URL_OF)).toBe(true)
  expect(covers(URL_OF, `${URL_OF}/`)).toBe(true)
})

test.each([
  { resource: 'files.test', url: URL_OF },
  { resource: URL_OF, url: 'http://127.0.0.1:${PORT}/mcp' },
  { resource: 'data:x', url: 'data:x' },
])('$resource is no resource of $url', ({ resource, url }) => {
  expect(covers(resource, url)).toBe(false)
})
