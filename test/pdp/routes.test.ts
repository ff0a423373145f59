// Every route of the PDP has its caller's role, and nothing is served that is not in the table.
import { type AddressInfo, connect } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestPdp, type TestPdp } from '../harness/pdp.ts'

let pdp: TestPdp
beforeAll(async () => {
  pdp = await startTestPdp()
})
afterAll(() => pdp.stop())

/** What each role may call. A route that is missing here, or added without a role, fails the test. */
const ROLES: Readonly<Record<string, 'anyone' | 'pep' | 'caller' | 'operator'>> = {
  'GET /healthz': 'anyone',
  'GET /readyz': 'anyone',
  'GET /metrics': 'anyone',
  'GET /.well-known/authzen-configuration': 'anyone',
  'POST /access/v1/evaluation': 'caller',
  'POST /access/v1/evaluations': 'caller',
  'POST /access/v1/search/subject': 'caller',
  'POST /access/v1/search/resource': 'caller',
  'POST /access/v1/search/action': 'caller',
  'POST /admin/v1/grants': 'operator',
  'GET /admin/v1/grants': 'operator',
  'GET /admin/v1/grants/:id': 'operator',
  'POST /admin/v1/grants/:id/rotate': 'operator',
  'DELETE /admin/v1/grants/:id': 'operator',
  'GET /admin/v1/users': 'operator',
  'GET /admin/v1/users/:id': 'operator',
  'PUT /admin/v1/users/:id': 'operator',
  'POST /admin/v1/users/:id/offboard': 'operator',
  'POST /admin/v1/users/:id/reinstate': 'operator',
  'GET /admin/v1/agents': 'operator',
  'PUT /admin/v1/agents/:id': 'operator',
  'POST /admin/v1/peps': 'operator',
  'GET /admin/v1/peps': 'operator',
  'DELETE /admin/v1/peps/:id': 'operator',
  'POST /admin/v1/client-grants': 'operator',
  'GET /admin/v1/decisions': 'operator',
  'GET /admin/v1/decisions/:id': 'operator',
  'GET /admin/v1/ledger/fsck': 'operator',
  'GET /admin/v1/bundle': 'operator',
  'GET /admin/v1/bundles': 'operator',
  'GET /admin/v1/bundles/:id': 'operator',
  'POST /admin/v1/bundles/:id/pin': 'operator',
  'DELETE /admin/v1/bundles/pin': 'operator',
  'GET /admin/v1/tools': 'operator',
  'GET /admin/v1/definitions/:id': 'operator',
  'POST /pep/v1/decide': 'pep',
  'POST /pep/v1/identify': 'pep',
  'POST /pep/v1/list': 'pep',
  'POST /pep/v1/outcomes': 'pep',
  'POST /pep/v1/definitions': 'pep',
  'GET /pep/v1/definitions': 'pep',
  'GET /pep/v1/servers': 'pep',
  'GET /pep/v1/events': 'pep',
}

test('the app serves the routes of the table and no other', () => {
  const served = pdp.app.routes
    .filter(({ method }) => method !== 'ALL')
    .map(({ method, path }) => `${method} ${path}`)
  expect([...new Set(served)].toSorted()).toEqual(Object.keys(ROLES).toSorted())
})

const CREDENTIALS = ['none', 'garbage', 'pep', 'operator', 'grant'] as const
const ALLOWED = {
  anyone: ['none', 'garbage', 'pep', 'operator', 'grant'],
  pep: ['pep'],
  caller: ['pep', 'operator'],
  operator: ['operator'],
} as const

test.each(
  Object.entries(ROLES).flatMap(([route, role]) =>
    CREDENTIALS.map((credential) => ({ route, role, credential })),
  ),
)('$route with $credential', async ({ route, role, credential }) => {
  const [method = '', path = ''] = route.split(' ')
  const aborted = new AbortController()
  const answer = await pdp.app.request(path.replace(':id', '0'), {
    method,
    headers: { ...pdp.authorization(credential), 'content-type': 'application/json' },
    signal: aborted.signal,
    ...(method === 'POST' ? { body: '{}' } : {}),
  })
  await answer.body?.cancel()
  aborted.abort()
  const admitted = (ALLOWED[role] as readonly string[]).includes(credential)
  const known = credential === 'pep' || credential === 'operator'
  const refused = [401, 403].includes(answer.status) ? answer.status : undefined
  const want = known ? 403 : 401
  expect(refused).toBe(admitted ? undefined : want)
  const challenge = answer.headers.get('www-authenticate')
  expect(challenge).toBe(refused === 401 ? 'Bearer' : null)
})

test.each([
  { host: 'evil.example', status: 403 },
  { host: '127.0.0.1.evil.example:8181', status: 403 },
  { host: '', status: 403 },
  { host: '127.0.0.1:1', status: 200 },
  { host: 'localhost', status: 200 },
  { host: '[::1]:8181', status: 200 },
  { host: 'pdp.test', status: 200 },
])('over a socket, Host `$host` is answered $status', async ({ host, status }) => {
  const incoming = { socket: { remoteAddress: '127.0.0.1' } }
  const answer = await pdp.app.request('/metrics', { headers: { host } }, { incoming })
  expect(answer.status).toBe(status)
})

test.each(['/pep/v1/decide', '/admin/v1/grants', '/access/v1/evaluation'])(
  '%s reads nobody’s body before it knows who is speaking',
  async (path) => {
    const server = createAdaptorServer({ fetch: pdp.app.fetch })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
    const { port } = server.address() as AddressInfo
    const answered = new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => {
        const head = `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900000\r\n\r\n{`
        socket.write(head)
      })
      socket.once('data', (data) => {
        socket.destroy()
        resolve(data.toString('utf8', 0, 12))
      })
      socket.setTimeout(3_000, () => socket.destroy(new Error('it waits for the body')))
      socket.once('error', reject)
    })
    await expect(answered.finally(() => server.close())).resolves.toBe('HTTP/1.1 401')
  },
)
