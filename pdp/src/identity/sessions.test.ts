// Login sessions of operators on both databases: how they begin, what they are worth, and all the ways they end.
import { createHash, randomBytes } from 'node:crypto'
import { Client } from 'pg'
import { beforeAll, expect, test } from 'vitest'
import { formatToken } from '../../../schemas/identifiers.ts'
import { SESSION_LIFETIME_MS } from '../../../schemas/limits.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import { type TestClock, testClock } from '../../../test/harness/ledger.ts'
import { openSessions, type Sessions } from './sessions.ts'

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

onEachDatabase((database, name) => {
  let clock: TestClock
  let sessions: Sessions
  const query = (text: string, params: unknown[] = []) => database().store.sql.query(text, params)
  const signIn = async (user: string, idToken?: string) => {
    const source = '203.0.113.9'
    const asked = { user, roles: ['viewer'] as const, source }
    const used = { issuer: 'https://idp.test', subject: user, sha256: idToken ?? '' }
    return sessions.createSession(idToken === undefined ? asked : { ...asked, idToken: used })
  }
  const tokenOf = async (user: string): Promise<string> => (await signIn(user))?.token ?? ''

  beforeAll(async () => {
    clock = testClock()
    const { sql } = database().store
    sessions = openSessions({ sql, clock, random: (bytes) => randomBytes(bytes) })
    const users = ['alice', 'bob', 'carol', 'dave', 'eve', 'frank']
    await query(
      `insert into users (id, teams, created, roles, issuer, subject)
       select id, '{}', now(), '{approver,nonsense}', 'https://idp.test', id from unnest($1::text[]) as id`,
      [users],
    )
  })

  test('a session is what its user may be: by groups at sign-in, and by the database', async () => {
    const made = await signIn('alice')
    expect(made).toMatchObject({ user: 'alice', roles: ['approver', 'viewer'] })
    expect(made?.token).toMatch(/^cgs_/)
    const expiresAt = clock.now() + SESSION_LIFETIME_MS
    expect(made?.expiresAt).toBe(new Date(expiresAt).toISOString())
    expect(await sessions.resolveSession(made?.token ?? '')).toEqual({
      kind: 'operator',
      user: 'alice',
      roles: ['approver', 'viewer'],
      session: { id: expect.any(String), expiresAt },
    })
    const [row] = await query('select * from login_sessions where user_id = $1', ['alice'])
    expect(row).toMatchObject({
      token_sha256: sha256(made?.token ?? ''),
      last_source: '203.0.113.9',
    })
    expect(JSON.stringify(row)).not.toContain(made?.token)
  })

  test('a role that the database gives or takes holds at once', async () => {
    const token = await tokenOf('bob')
    await query(`update users set roles = '{admin}' where id = 'bob'`)
    expect(await sessions.resolveSession(token)).toMatchObject({ roles: ['admin', 'viewer'] })
    await query(`update users set roles = '{}' where id = 'bob'`)
    expect(await sessions.resolveSession(token)).toMatchObject({ roles: ['viewer'] })
  })

  test('what is no session of ours is nobody’s', async () => {
    const token = await tokenOf('carol')
    const strange = formatToken('session', randomBytes(32), sha256)
    const grant = formatToken('grant', randomBytes(32), sha256)
    for (const text of ['', 'x', strange, grant, `${token} `, token.slice(0, -1)])
      expect(await sessions.resolveSession(text)).toBeUndefined()
  })

  test('it ends by signing out, and nobody else’s with it', async () => {
    const [one, other] = [await tokenOf('carol'), await tokenOf('carol')]
    const session = (await sessions.resolveSession(one))?.session
    await sessions.endSession(session?.id ?? '')
    expect(await sessions.resolveSession(one)).toBeUndefined()
    expect(await sessions.resolveSession(other)).toBeDefined()
  })

  test('it ends with its user, and does not begin for one who is gone or unknown', async () => {
    const token = await tokenOf('dave')
    await query(`update users set offboarded = now() where id = 'dave'`)
    expect(await sessions.resolveSession(token)).toBeUndefined()
    expect(await signIn('dave')).toBeUndefined()
    expect(await signIn('nobody')).toBeUndefined()
  })

  test('an ID token signs in once, also when it comes twice at once', async () => {
    const made = await Promise.all(Array.from({ length: 8 }, () => signIn('eve', 'a'.repeat(64))))
    expect(made.filter((session) => session !== undefined)).toHaveLength(1)
    expect(await signIn('eve', 'a'.repeat(64))).toBeUndefined()
    expect(await signIn('eve', 'b'.repeat(64))).toBeDefined()
    expect(await query('select sha256 from used_id_token')).toHaveLength(2)
  })

  test.runIf(name === 'postgres')('who is offboarded at this moment gets no session', async () => {
    const other = new Client({ connectionString: database().url })
    await other.connect()
    await other.query('begin')
    await other.query(`update users set offboarded = now() where id = 'frank'`)
    const made = signIn('frank')
    await other.query('commit')
    await other.end()
    expect(await made).toBeUndefined()
  })

  test('it is good until the last millisecond of its time, and used ID tokens go some time later', async () => {
    const token = await tokenOf('alice')
    clock.advance(SESSION_LIFETIME_MS - 1)
    expect(await sessions.resolveSession(token)).toBeDefined()
    clock.advance(1)
    expect(await sessions.resolveSession(token)).toBeUndefined()
    await signIn('eve', 'c'.repeat(64))
    expect(await query('select sha256 from used_id_token')).toEqual([{ sha256: 'c'.repeat(64) }])
  })
})
