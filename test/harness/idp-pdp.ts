// Owns a PDP whose gateway.yaml takes the access tokens of a real provider, and asking it as a PEP does. Its clock is
// the test's.
import { hash, randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { decideResponse, identifyResponse, listResponse } from '../../schemas/pep-api.ts'
import { writeBundle } from './gateway.ts'
import { AUDIENCE, CLIENTS, type Idp, startIdp } from './idp.ts'
import { startTestPdp, type TestPdp } from './pdp.ts'

export type IdpPdp = {
  readonly idp: Idp
  readonly pdp: TestPdp
  /** How far the PDP's clocks are ahead of ours. */
  shiftMs: number
  /** The id of its grant, or why there is none. */
  readonly identify: (jwt: string) => Promise<string>
  /** What `tools/list` shows to who comes with it; or why nobody does. */
  readonly shows: (jwt: string, server?: string) => Promise<string>
  /** The same by the id of the grant, as a PEP asks to tell what changed. */
  readonly showsGrant: (grant: string, server?: string) => Promise<string>
  /** An operator's order; answers status and body. */
  readonly order: (method: string, path: string, body?: object) => Promise<Answer>
  /** Another gateway.yaml, active when it resolves. */
  readonly configure: (issuers: readonly object[]) => Promise<void>
  readonly stop: () => Promise<void>
}
export type Answer = { readonly status: number; readonly json: Record<string, unknown> }

/** What gateway.yaml says of a provider: Staff are staff, Keepers are keepers, and its clients are these. */
export function issuerOf({ issuer }: Pick<Idp, 'issuer'>, changes: object = {}): object {
  return {
    issuer,
    audience: AUDIENCE,
    teams: { Staff: 'staff', Keepers: 'keepers' },
    clients: {
      [CLIENTS.agent]: { agent: 'demo', servers: ['echo', 'twin'] },
      [CLIENTS.robot]: { agent: 'nightly', servers: ['echo'], headless: true },
    },
    ...changes,
  }
}

/** gateway.yaml lines of these. */
export function identityLines(issuers: readonly object[]): string {
  return `identity: ${JSON.stringify({ issuers })}\n`
}

export async function startIdpPdp({ log }: { readonly log?: Logger } = {}): Promise<IdpPdp> {
  const idp = await startIdp()
  const home = await mkdtemp(join(tmpdir(), 'cedargate-idp-'))
  const write = (issuers: readonly object[]) =>
    writeBundle(home, 'http://127.0.0.1:1', { gatewayLines: identityLines(issuers) })
  let configured: readonly object[] = [issuerOf(idp)]
  await write(configured)
  const clock = {
    now: () => Date.now() + it.shiftMs,
    monotonic: () => performance.now() + it.shiftMs,
  }
  const post = async (method: string, path: string, credential: string, body?: object) => {
    const answer = await it.pdp.app.request(path, {
      method,
      headers: { ...it.pdp.authorization(credential), 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: answer.status, json: (await answer.json()) as Answer['json'] }
  }
  const it: { -readonly [Key in keyof IdpPdp]: IdpPdp[Key] } = {
    idp,
    pdp: undefined as never,
    shiftMs: 0,
    async identify(jwt) {
      const asked = { token: hash('sha256', jwt), jwt, sourceIp: '192.0.2.7' }
      const { json } = await post('POST', '/pep/v1/identify', 'pep', asked)
      const answer = identifyResponse.parse(json)
      return answer.grant ?? ('fault' in answer ? answer.fault : '')
    },
    async shows(jwt, server = 'echo') {
      const method = 'tools/list'
      const message = JSON.stringify({ jsonrpc: '2.0', id: 1, method })
      const what = { requestId: randomUUID(), server, method, message, era: 'legacy' }
      const who = { token: hash('sha256', jwt), jwt, sourceIp: null }
      const call = { ...what, ...who, definition: null, client: null }
      const { json } = await post('POST', '/pep/v1/decide', 'pep', { calls: [call] })
      const [result] = decideResponse.parse(json).results
      if (result?.kind !== 'verdict') return result?.reason ?? 'nothing'
      return result.visible === null ? result.code : result.visible.tools.join(' ')
    },
    async showsGrant(grant, server = 'echo') {
      const { json } = await post('POST', '/pep/v1/list', 'pep', { callers: [{ grant, server }] })
      return listResponse.parse(json).visible[0]?.tools.join(' ') ?? 'nothing'
    },
    order: (method, path, body) => post(method, `/admin/v1/${path}`, 'operator', body),
    async configure(issuers) {
      if (JSON.stringify(issuers) === JSON.stringify(configured)) return
      configured = issuers
      await write(issuers)
      await it.pdp.activation.refresh()
    },
    async stop() {
      await it.pdp.stop()
      await Promise.all([idp.stop(), rm(home, { recursive: true })])
    },
  }
  it.pdp = await startTestPdp(home, { clock, ...(log === undefined ? {} : { log }) })
  return it
}
