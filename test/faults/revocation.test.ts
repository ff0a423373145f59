// After a revocation has returned, no PDP allows that grant later than a second: not under load, not one that stood still,
// not one that is cut off from the database, and none whose clock is wrong allows anything.
import { hash, randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { createdGrant, createdPep, offboarded } from '../../schemas/admin-api.ts'
import { CLOCK_SKEW_MS_MAX, DECIDE_TIMEOUT_MS } from '../../schemas/limits.ts'
import { decideResponse } from '../../schemas/pep-api.ts'
import { type Running, startCommand } from '../harness/command.ts'
import { type CutWire, openWire } from '../harness/cut-wire.ts'
import { jsonHere, runHere } from '../harness/in-process.ts'
import { firstAdmin } from '../harness/operators.ts'
import { EXAMPLE_BUNDLE, startTestPdp } from '../harness/pdp.ts'
import { createTestDatabase } from '../harness/store.ts'

const PROMISED_MS = 1_000

/** One `tools/list` with each token. The answers: a verdict's code, a rejection's reason, or that there was no answer. */
function question(tokens: readonly string[]): string {
  const method = 'tools/list'
  const calls = tokens.map((token) => ({
    requestId: randomUUID(),
    token: hash('sha256', token),
    server: 'files',
    method,
    message: JSON.stringify({ jsonrpc: '2.0', id: 1, method }),
    era: 'legacy',
    definition: null,
    client: null,
    sourceIp: '192.0.2.1',
  }))
  return JSON.stringify({ calls })
}

const HEADERS = { 'content-type': 'application/json' }

async function answersOf(response: Response): Promise<string[]> {
  if (!response.ok) return ['no answer']
  const { results } = decideResponse.parse(await response.json())
  return results.map((result) => (result.kind === 'verdict' ? result.code : result.reason))
}

describe.runIf(inject('postgresUrl') !== null)('several PDPs on one PostgreSQL', () => {
  const running: Running[] = []
  const urls = { a: '', b: '', cut: '' }
  let paused: Running
  let folder: string
  let wire: CutWire
  let operator: string
  let pepKey: string

  async function startPdp(databaseUrl: string): Promise<{ url: string; process: Running }> {
    const process = startCommand(['pdp'], {
      DATABASE_URL: databaseUrl,
      CEDARGATE_HOME: folder,
      CEDARGATE_BUNDLE: EXAMPLE_BUNDLE,
      CEDARGATE_PDP_PORT: '0',
      CEDARGATE_ENGINE_WORKERS: '1',
    })
    running.push(process)
    const url = await vi.waitFor(
      () => {
        if (process.child.exitCode !== null) throw new Error(process.stderr())
        const lines = process.stderr().split('\n')
        const line = lines.find((text) => text.includes('"the PDP decides"'))
        return (JSON.parse(line ?? '') as { url: string }).url
      },
      { timeout: 40_000, interval: 50 },
    )
    return { url, process }
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cedargate-revocation-'))
    await mkdir(join(folder, 'demo/drafts'), { recursive: true })
    await writeFile(join(folder, 'demo/notes.txt'), 'hello')
    const databaseUrl = (await createTestDatabase()) ?? ''
    await jsonHere(['keys', 'create'], { CEDARGATE_HOME: folder })
    await runHere(['db', 'migrate'], { DATABASE_URL: databaseUrl })
    const database = new URL(databaseUrl)
    wire = await openWire({ host: database.hostname, port: Number(database.port) })
    database.port = String(wire.port)
    const first = await startPdp(databaseUrl)
    operator = await firstAdmin(first.url, first.process.stderr)
    const [second, third] = await Promise.all([startPdp(databaseUrl), startPdp(database.href)])
    paused = second.process
    Object.assign(urls, { a: first.url, b: second.url, cut: third.url })
    pepKey = createdPep.parse(await admin('POST', 'peps', { servers: ['files'] })).key
  }, 120_000)
  afterAll(async () => {
    for (const { child } of running) child.kill('SIGKILL')
    await wire.close()
    await rm(folder, { recursive: true, force: true })
  })

  /** On the first PDP. */
  async function admin(method: string, path: string, body?: object): Promise<unknown> {
    const answer = await fetch(`${urls.a}/admin/v1/${path}`, {
      method,
      headers: { ...HEADERS, authorization: `Bearer ${operator}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
    return await answer.json()
  }
  const grant = async (user = randomUUID()) => {
    const request = { user, agent: 'ci', servers: ['files'], teams: ['engineering'], expiresInMs: 600_000 }
    return createdGrant.parse(await admin('POST', 'grants', request))
  } // biome-ignore format: long lines
  const revoke = ({ id }: { readonly id: string }) => admin('DELETE', `grants/${id}`)

  /** As a PEP asks, and no longer than one waits. */
  async function ask(url: string, ...tokens: string[]): Promise<string[]> {
    const init = { method: 'POST', body: question(tokens), signal: AbortSignal.timeout(DECIDE_TIMEOUT_MS) }
    const headers = { ...HEADERS, authorization: `Bearer ${pepKey}` }
    return fetch(`${url}/pep/v1/decide`, { ...init, headers }).then(answersOf, () => ['no answer'])
  } // biome-ignore format: long lines
  const soon = async (url: string, token: string, want: string): Promise<void> => {
    await expect.poll(async () => (await ask(url, token))[0]).toBe(want)
  }

  test('24 revocations under load: the last allow of any PDP, and nobody else is refused', async () => {
    const others = await Promise.all(Array.from({ length: 4 }, () => grant()))
    const lateMs: number[] = []
    const refused = new Set<string>()
    for (let round = 0; round < 4; round++) {
      const victims = await Promise.all(Array.from({ length: 6 }, () => grant()))
      const tokens = [...victims, ...others].map(({ token }) => token)
      const lastAllow = new Map<string, number>()
      const state = { over: false }
      const load = Object.values(urls).flatMap((url) =>
        [1, 2].map(async () => {
          for (let asked = 0; !state.over; asked++) {
            const answers = await ask(url, ...tokens)
            victims.forEach(({ id }, index) => {
              if (answers[index] === 'permit') lastAllow.set(`${id} ${url}`, performance.now())
            })
            for (const answer of answers.slice(victims.length)) if (answer !== 'permit') refused.add(answer)
          }
        }),
      )
      await expect.poll(() => lastAllow.size, { timeout: 20_000 }).toBe(victims.length * 3)
      const returned = await Promise.all(
        victims.map(async (one) => revoke(one).then(() => [one.id, performance.now()] as const)),
      )
      await sleep(PROMISED_MS + 500)
      state.over = true
      await Promise.all(load)
      for (const [id, at] of returned)
        for (const url of Object.values(urls)) lateMs.push((lastAllow.get(`${id} ${url}`) ?? 0) - at)
    }
    expect(lateMs).toHaveLength(24 * 3)
    expect(Math.max(...lateMs)).toBeLessThan(PROMISED_MS)
    expect([...refused]).not.toContain('unauthenticated')
  }) // biome-ignore format: long lines

  test('offboarding ends all grants of one user everywhere, and no other', async () => {
    const user = randomUUID()
    const [first, second, other] = [await grant(user), await grant(user), await grant()]
    for (const url of Object.values(urls))
      expect(await ask(url, first.token, second.token)).toEqual(['permit', 'permit'])
    const ended = offboarded.parse(await admin('POST', `users/${user}/offboard`, {}))
    expect(ended.grants).toEqual([first.id, second.id])
    await sleep(PROMISED_MS)
    for (const url of Object.values(urls))
      expect(await ask(url, first.token, second.token, other.token)).toEqual([
        'unauthenticated', 'unauthenticated', 'permit',
      ]) // biome-ignore format: a list
  })

  test('a PDP that stood still over the revocation allows nothing when it goes on', async () => {
    const kept = await grant()
    for (let round = 0; round < 5; round++) {
      const victim = await grant()
      expect(await ask(urls.b, victim.token, kept.token)).toEqual(['permit', 'permit'])
      paused.child.kill('SIGSTOP')
      await revoke(victim)
      const asked = Array.from({ length: 4 }, () => ask(urls.b, victim.token))
      await sleep(PROMISED_MS)
      paused.child.kill('SIGCONT')
      const answers = [...(await Promise.all(asked)), ...(await Promise.all(Array.from({ length: 8 }, () => ask(urls.b, victim.token))))].flat()
      expect(answers).not.toContain('permit')
      expect(answers).toContain('unauthenticated')
      await soon(urls.b, kept.token, 'permit')
    }
  }) // biome-ignore format: long lines

  test.each(['loud', 'silent'] as const)('a PDP cut off from the database (%s) denies within a second, and recovers', async (how) => {
    const [victim, kept] = [await grant(), await grant()]
    expect(await ask(urls.cut, victim.token, kept.token)).toEqual(['permit', 'permit'])
    wire.cut(how)
    const cutAt = performance.now()
    await revoke(victim)
    const late: string[] = []
    while (performance.now() - cutAt < PROMISED_MS + 2_000) {
      const askedAt = performance.now()
      const [answer] = await ask(urls.cut, kept.token)
      if (answer === 'permit' && performance.now() - cutAt > PROMISED_MS) late.push(`${askedAt - cutAt}`)
    }
    expect(late).toEqual([])
    expect(await ask(urls.cut, victim.token)).toEqual(['no answer'])
    expect(await ask(urls.a, kept.token)).toEqual(['permit'])
    wire.mend()
    await soon(urls.cut, kept.token, 'permit')
    expect(await ask(urls.cut, victim.token)).toEqual(['unauthenticated'])
  }) // biome-ignore format: long lines

  test('events of a PDP that is cut off end, so that its PEPs close what lasts', async () => {
    const headers = { authorization: `Bearer ${pepKey}` }
    const stream = await fetch(`${urls.cut}/pep/v1/events`, { headers })
    const reader = stream.body?.getReader()
    wire.cut('silent')
    const cutAt = performance.now()
    let isOver = false
    while (!isOver) isOver = (await reader?.read())?.done ?? true
    expect(performance.now() - cutAt).toBeLessThan(2 * PROMISED_MS + 500)
    const again = await fetch(`${urls.cut}/pep/v1/events`, { headers })
    expect(again.status).toBe(500)
    wire.mend()
    await expect
      .poll(async () => {
        const leave = new AbortController()
        const { status } = await fetch(`${urls.cut}/pep/v1/events`, { headers, signal: leave.signal })
        leave.abort()
        return status
      })
      .toBe(200)
  }) // biome-ignore format: long lines
})

test('a PDP whose clock is wrong denies with clock_fault, and a jump counts at once', async () => {
  let shiftMs = 0
  const clock = { now: () => Date.now() + shiftMs, monotonic: () => performance.now() }
  const pdp = await startTestPdp(EXAMPLE_BUNDLE, { clock })
  const request = { user: 'ada', agent: 'ci', servers: ['files'], teams: ['engineering'], expiresInMs: 600_000 }
  const { token } = await pdp.admin.createGrant(request)
  const ask = async (): Promise<string[]> =>
    answersOf(await pdp.app.request('/pep/v1/decide', {
      method: 'POST', body: question([token]), headers: { ...HEADERS, ...pdp.authorization('pep') },
    }))
  expect(await ask()).toEqual(['permit'])
  for (const shift of [CLOCK_SKEW_MS_MAX + 1_000, -CLOCK_SKEW_MS_MAX - 1_000, 60_000]) {
    shiftMs = shift
    expect(await ask()).toEqual(['clock_fault'])
    shiftMs = Math.sign(shift) * (CLOCK_SKEW_MS_MAX - 1_000)
    expect(await ask()).toEqual(['permit'])
  }
  await pdp.stop()
}) // biome-ignore format: long lines
