// No allow outlives its grant: what changes while a call is decided is decided by, on both databases.
import { hash, randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Sql } from '../../../schemas/database/sql.ts'
import { GRANT_AGE_MS_MAX } from '../../../schemas/limits.ts'
import { decideCall } from '../../../schemas/pep-api.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import { openTestIdentity } from '../../../test/harness/identity.ts'
import { decisionInput, openTestLedger, testClock, testKeys } from '../../../test/harness/ledger.ts'
import type { Authorization, AuthorizationRequest } from '../authorize/types.ts'
import { withWrongClock } from './clock-fault.ts'
import { type Active, createDecide } from './decide.ts'

const sha256 = (text: string): string => hash('sha256', text)

onEachDatabase((database) => {
  /** A PDP whose policies permit everything, and whose engine takes as long as `during`. */
  const setUp = async () => {
    const clock = testClock()
    const { store } = database()
    const prompt: Sql = {
      dialect: store.dialect,
      query: async (...asked) => {
        if (state.lost) throw new Error('connection lost')
        return store.prompt.query(...asked)
      },
    }
    const open = () => openTestIdentity({ ...store, prompt }, clock)
    const [here, elsewhere] = [open(), open()]
    const state = { asked: [] as AuthorizationRequest[][], during: async () => {}, counted: 0, wrong: false, lost: false }
    const bundle = { id: 'b'.repeat(64), servers: new Map([['files', {}]]), digests: decisionInput().digests, access: '' }
    const authorize = async (requests: readonly AuthorizationRequest[]) => {
      state.asked.push([...requests])
      await state.during()
      return requests.map((): Authorization => ({
        ...decisionInput().authorization, shadow: null, detail: '', concealed: false, visible: null,
      }))
    }
    const active = { bundle, authorizer: { authorize }, own: { authorize } } as unknown as Active
    const decide = createDecide({
      ...here.resolver,
      active: () => (state.wrong ? withWrongClock(active) : active),
      resolveCallers: (all) => here.resolver.resolveGrants(all.map(({ token }) => token)),
      onUsed: here.lastUse.note,
      ledger: await openTestLedger(store.sql, testKeys(), clock),
      clock,
      onDecided: () => { state.counted += 1 },
      release: async (needs) => needs.map(() => ({ credential: null })),
      onReleased: () => {},
    })
    const grant = async (change: object = {}) => {
      const request = { user: randomUUID(), agent: randomUUID(), servers: ['files'], expiresInMs: 60_000, ...change }
      const { id, token } = await here.grants.createGrant(request)
      return { id, user: request.user, agent: request.agent, token: sha256(token) }
    }
    const ask = async (...tokens: (string | null)[]) => {
      const calls = tokens.map((token) => decideCall.parse({
        requestId: randomUUID(), token, server: 'files', method: 'tools/call', definition: null, client: null, sourceIp: '::1',
        message: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'read' } }), era: 'legacy',
      }))
      const results = await decide({ id: 'pep', servers: ['files'] }, calls)
      return results.map((result) => (result.kind === 'verdict' ? `${result.code} ${result.grant}` : result.reason))
    }
    /** Once, while the engine is at work; the time it takes is short for both clocks. */
    const meanwhile = (work: () => Promise<unknown>) => {
      state.during = async () => {
        state.during = async () => {}
        await work()
      }
    }
    return { clock, state, here, elsewhere, grant, ask, meanwhile }
  } // biome-ignore format: long lines

  test('a verdict names the grant it is of', async () => {
    const { ask, grant } = await setUp()
    const { id, token } = await grant()
    expect(await ask(token, null, sha256('x'))).toEqual([`permit ${id}`, 'permit null', 'unauthenticated'])
  }) // biome-ignore format: long lines

  test('revoked here while it is decided: refused, and the calls beside it are not', async () => {
    const { ask, grant, meanwhile, here, state } = await setUp()
    const [first, second] = [await grant(), await grant()]
    meanwhile(() => here.grants.revokeGrant(first.id))
    expect(await ask(first.token, second.token)).toEqual(['unauthenticated', `permit ${second.id}`])
    expect([state.asked.length, state.counted]).toEqual([2, 1])
  })

  test.each(['revoked', 'offboarded', 'disabled'])('%s elsewhere while a slow engine decides: refused', async (how) => {
    const { ask, grant, meanwhile, elsewhere, clock } = await setUp()
    const { id, user, agent, token } = await grant()
    meanwhile(async () => {
      if (how === 'revoked') await elsewhere.grants.revokeGrant(id)
      if (how === 'offboarded') await elsewhere.users.offboardUser(user)
      if (how === 'disabled') await elsewhere.agents.putAgent(agent, { disabled: true })
      clock.advance(GRANT_AGE_MS_MAX)
    })
    expect(await ask(token)).toEqual(['unauthenticated'])
  }) // biome-ignore format: a title

  test('a team taken away while it is decided: decided anew without it', async () => {
    const { ask, grant, meanwhile, here, state } = await setUp()
    const { id, user, token } = await grant({ teams: ['keepers'] })
    meanwhile(() => here.users.putUser(user, { teams: [] }))
    expect(await ask(token)).toEqual([`permit ${id}`])
    expect(state.asked.map(([request]) => request?.teams)).toEqual([['keepers'], []])
    expect(state.counted).toBe(1)
  })

  test('expired while it is decided: refused', async () => {
    const { ask, grant, meanwhile, clock } = await setUp()
    const { token } = await grant({ expiresInMs: 100 })
    meanwhile(async () => clock.advance(100))
    expect(await ask(token)).toEqual(['unauthenticated'])
  })

  test('what changes again and again is not decided', async () => {
    const { ask, grant, here, state } = await setUp()
    const { user, token } = await grant()
    let teams = 0
    state.during = async () =>
      void (await here.users.putUser(user, { teams: [`t${(teams += 1)}`] }))
    await expect(ask(token)).rejects.toThrow('again and again')
    expect([state.asked.length, state.counted]).toEqual([3, 0])
  })

  test('a process that stood still, without a database: nothing is decided', async () => {
    const { ask, grant, clock, state } = await setUp()
    const { token } = await grant()
    expect(await ask(token)).toHaveLength(1)
    state.lost = true
    state.during = async () => clock.advance(GRANT_AGE_MS_MAX)
    await expect(ask(token)).rejects.toThrow('connection lost')
  })

  test('with a wrong clock all is denied, and recorded with what was asked', async () => {
    const { ask, grant, state } = await setUp()
    const { id, token } = await grant()
    state.wrong = true
    expect(await ask(token, null)).toEqual([`clock_fault ${id}`, 'clock_fault null'])
  })
})
