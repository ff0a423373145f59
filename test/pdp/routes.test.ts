// Every route of the PDP has its caller's role, and nothing is served that is not in the table.
import { type AddressInfo, connect } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { OPERATOR_ROLES, type OperatorRole } from '../../schemas/roles.ts'
import { signInAs } from '../harness/operators.ts'
import { EXAMPLE_BUNDLE, startTestPdp, type TestPdp } from '../harness/pdp.ts'

let pdp: TestPdp
/** Headers of an operator with that role alone. */
const signedIn = new Map<string, Record<string, string>>()
beforeAll(async () => {
  // Thousands of requests here fail to authenticate, and all of them come from one source.
  pdp = await startTestPdp(EXAMPLE_BUNDLE, { authFailuresMax: 1_000_000 })
  for (const role of OPERATOR_ROLES) signedIn.set(role, await signInAs(pdp, role, [role]))
  signedIn.set('retired', await signInAs(pdp, 'retired', ['admin']))
  await pdp.bootstrap.setRoles('retired', [])
})
afterAll(() => pdp.stop())

type Wanted = 'anyone' | 'pep' | 'caller' | readonly OperatorRole[]

const EVERY = OPERATOR_ROLES
/** Who may keep upstream credentials. */
const KEEPERS: Wanted = ['admin', 'credential-admin']

/** Who may call what, and what it is recorded as. A route that is missing here, or added without a role, fails the test. */
const ROUTES: Readonly<Record<string, { readonly role: Wanted; readonly act?: string }>> = {
  'GET /healthz': { role: 'anyone' },
  'GET /readyz': { role: 'anyone' },
  'GET /metrics': { role: 'anyone' },
  'GET /.well-known/authzen-configuration': { role: 'anyone' },
  'POST /access/v1/evaluation': { role: 'caller' },
  'POST /access/v1/evaluations': { role: 'caller' },
  'POST /access/v1/search/subject': { role: 'caller' },
  'POST /access/v1/search/resource': { role: 'caller' },
  'POST /access/v1/search/action': { role: 'caller' },
  'GET /admin/v1/login': { role: 'anyone' },
  'POST /admin/v1/sessions': { role: 'anyone', act: 'sessions.create' },
  'POST /admin/v1/bootstrap': { role: 'anyone', act: 'bootstrap' },
  'DELETE /admin/v1/sessions/current': { role: EVERY, act: 'sessions.end' },
  'GET /admin/v1/whoami': { role: EVERY },
  'PUT /admin/v1/users/:id/roles': { role: ['admin'], act: 'users.roles' },
  'GET /admin/v1/acts': { role: ['admin', 'auditor'] },
  'POST /admin/v1/grants': { role: ['admin'], act: 'grants.create' },
  'GET /admin/v1/grants': { role: EVERY },
  'GET /admin/v1/grants/:id': { role: EVERY },
  'POST /admin/v1/grants/:id/rotate': { role: ['admin'], act: 'grants.rotate' },
  'DELETE /admin/v1/grants/:id': { role: ['admin', 'approver'], act: 'grants.revoke' },
  'POST /admin/v1/client-grants': { role: ['admin'], act: 'client-grants.create' },
  'GET /admin/v1/users': { role: EVERY },
  'GET /admin/v1/users/:id': { role: EVERY },
  'PUT /admin/v1/users/:id': { role: ['admin'], act: 'users.put' },
  'POST /admin/v1/users/:id/offboard': { role: ['admin', 'approver'], act: 'users.offboard' },
  'POST /admin/v1/users/:id/reinstate': { role: ['admin'], act: 'users.reinstate' },
  'DELETE /admin/v1/users/:id/link': { role: ['admin'], act: 'users.unlink' },
  'GET /admin/v1/credentials': { role: EVERY },
  'GET /admin/v1/credentials/link': { role: EVERY },
  'PUT /admin/v1/credentials': { role: KEEPERS, act: 'credentials.set' },
  'POST /admin/v1/credentials/:id/rotate': { role: KEEPERS, act: 'credentials.rotate' },
  'POST /admin/v1/credentials/:id/test': { role: KEEPERS, act: 'credentials.test' },
  'DELETE /admin/v1/credentials/:id': { role: KEEPERS, act: 'credentials.remove' },
  'GET /admin/v1/credential-keys': { role: EVERY },
  'POST /admin/v1/credential-keys/rewrap': { role: KEEPERS, act: 'credential-keys.rewrap' },
  'GET /admin/v1/agents': { role: EVERY },
  'PUT /admin/v1/agents/:id': { role: ['admin'], act: 'agents.put' },
  'POST /admin/v1/peps': { role: ['admin'], act: 'peps.enroll' },
  'GET /admin/v1/peps': { role: EVERY },
  'DELETE /admin/v1/peps/:id': { role: ['admin', 'approver'], act: 'peps.revoke' },
  'GET /admin/v1/decisions': { role: EVERY, act: 'decisions.arguments' },
  'GET /admin/v1/decisions/:id': { role: EVERY, act: 'decisions.arguments' },
  'GET /admin/v1/ledger/fsck': { role: ['admin', 'auditor'] },
  'GET /admin/v1/bundle': { role: EVERY },
  'GET /admin/v1/bundles': { role: EVERY },
  'GET /admin/v1/bundles/:id': { role: EVERY },
  'POST /admin/v1/bundles/:id/pin': { role: ['policy-author'], act: 'bundles.pin' },
  'DELETE /admin/v1/bundles/pin': { role: ['policy-author'], act: 'bundles.unpin' },
  'GET /admin/v1/tools': { role: EVERY },
  'GET /admin/v1/definitions/:id': { role: EVERY },
  'GET /connect/:server': { role: 'anyone' },
  'GET /oauth/signed-in': { role: 'anyone' },
  'GET /oauth/consent': { role: 'anyone' },
  'POST /oauth/consent': { role: 'anyone' },
  'GET /oauth/callback/:server': { role: 'anyone' },
  'GET /oauth/client/:server': { role: 'anyone' },
  'POST /pep/v1/identify': { role: 'pep' },
  'POST /pep/v1/decide': { role: 'pep' },
  'POST /pep/v1/list': { role: 'pep' },
  'POST /pep/v1/outcomes': { role: 'pep' },
  'POST /pep/v1/definitions': { role: 'pep' },
  'GET /pep/v1/definitions': { role: 'pep' },
  'GET /pep/v1/servers': { role: 'pep' },
  'GET /pep/v1/events': { role: 'pep' },
}

test('the app serves the routes of the table and no other', () => {
  const served = pdp.app.routes
    .filter(({ method }) => method !== 'ALL')
    .map(({ method, path }) => `${method} ${path}`)
  expect([...new Set(served)].toSorted()).toEqual(Object.keys(ROUTES).toSorted())
})

test('each route is as the table says: its role, and the name of its act', () => {
  const declared = pdp.routes.map(({ method, path, role, act }) => [
    `${method} ${path}`,
    act === undefined ? { role } : { role, act: act.name },
  ])
  expect(Object.fromEntries(declared)).toEqual(ROUTES)
})

test('whatever an operator changes has an act, and what anybody may call is a closed list', () => {
  const admin = Object.entries(ROUTES).filter(([route]) => route.includes(' /admin/'))
  const bare = admin.filter(([route, { act }]) => !route.startsWith('GET ') && act === undefined)
  expect(bare).toEqual([])
  const open = admin.filter(([, { role }]) => role === 'anyone').map(([route]) => route)
  expect(open).toEqual([
    'GET /admin/v1/login',
    'POST /admin/v1/sessions',
    'POST /admin/v1/bootstrap',
  ])
})

/** `operator` is the token of `dev`; `retired` an operator whose roles were taken away after signing in. */
const CREDENTIALS = ['none', 'garbage', 'grant', 'pep', 'operator', 'retired', ...EVERY] as const
type Credential = (typeof CREDENTIALS)[number]
const UNKNOWN: readonly Credential[] = ['none', 'garbage', 'grant']

function admits(role: Wanted, credential: Credential): boolean {
  if (role === 'anyone') return true
  if (UNKNOWN.includes(credential) || credential === 'retired') return false
  if (credential === 'pep') return role === 'pep' || role === 'caller'
  if (credential === 'operator') return role !== 'pep'
  return role === 'caller' || (role !== 'pep' && role.includes(credential as OperatorRole))
}

/** What answers a form from nowhere 403, whoever sends it: test/attacks/connect.test.ts. */
const guarded = Object.entries(ROUTES).filter(([route]) => route !== 'POST /oauth/consent')

describe.each(guarded)('%s', (route, { role }) => {
  test.each(CREDENTIALS)('%s', async (credential) => {
    const [method = '', path = ''] = route.split(' ')
    // Signing out ends the session: each time another one.
    const headers = path.endsWith('/current') ? await freshly(credential) : headersOf(credential)
    const aborted = new AbortController()
    const answer = await pdp.app.request(path.replace(':id', '0'), {
      method,
      headers: { ...headers, 'content-type': 'application/json' },
      signal: aborted.signal,
      ...(method === 'GET' ? {} : { body: '{}' }),
    })
    const body = answer.headers.get('content-type')?.includes('json') ? await answer.text() : ''
    if (body === '') await answer.body?.cancel()
    aborted.abort()
    const admitted = admits(role, credential)
    const unknown = UNKNOWN.includes(credential)
    const refused = [401, 403, 429].includes(answer.status) ? answer.status : undefined
    expect(refused).toBe(admitted ? undefined : unknown ? 401 : 403)
    const challenge = answer.headers.get('www-authenticate')
    expect(challenge).toBe(admitted ? null : challengeOf(credential))
    const roles = !admitted && !unknown && Array.isArray(role) ? role.join(' or ') : ''
    expect(body).toContain(roles)
  })
})

function challengeOf(credential: Credential): string {
  if (credential === 'none') return 'Bearer'
  const error = UNKNOWN.includes(credential) ? 'invalid_token' : 'insufficient_scope'
  return `Bearer error="${error}"`
}

function headersOf(credential: Credential): Record<string, string> {
  return signedIn.get(credential) ?? pdp.authorization(credential)
}

async function freshly(credential: Credential): Promise<Record<string, string>> {
  const roles = EVERY.filter((role) => role === credential)
  return roles.length > 0 ? signInAs(pdp, `${credential} again`, roles) : headersOf(credential)
}

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
