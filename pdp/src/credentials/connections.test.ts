// Keeping an account on both databases: by who may still connect it in that moment, and by nobody else.
import { describe, expect, test } from 'vitest'
import { credentialsOf, signedInUser } from '../../../test/harness/credentials.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import { holdTransaction } from '../../../test/harness/held.ts'
import type { SignedIn } from '../identity/may-connect.ts'

const account = (user: string | null, by: SignedIn, accessToken = 'an-access-token') => {
  const client = { issuer: 'https://as.test', clientId: 'c', clientSecret: null, authMethod: 'none' } as const
  const token = { accessToken, refreshToken: null, expiresAt: Date.now() + 60_000, scope: null }
  const secret = { kind: 'oauth', client, resource: 'https://server.test/mcp', token } as const
  return { server: 'account', user, by, issuer: client.issuer, scopes: null, secret }
} // biome-ignore format: short

const OFFBOARD = "update users set offboarded = now(), roles = '{}' where id = $1"
const LOSSES = [
  { what: 'offboarded', by: OFFBOARD },
  { what: 'without the role', by: "update users set roles = '{viewer}' where id = $1" },
  { what: 'without the link', by: 'update users set issuer = null, subject = null where id = $1' },
  { what: 'somebody else', by: "update users set issuer = 'https://other.test' where id = $1" },
]

onEachDatabase((database, name) => {
  const open = credentialsOf({ account: { kind: 'oauth' } }, () => database().store)
  let users = 0
  /** Somebody whom an admin made a credential-admin. */
  async function keeper(): Promise<SignedIn> {
    const by = await signedInUser(database().store, `${name}-${++users}`, false)
    await database().store.sql.query("update users set roles = '{credential-admin}' where id = $1", [by.user]) // biome-ignore format: short
    return by
  }

  test('a role of an admin counts as one of a group does, and no other', async () => {
    const { connections } = await open()
    const byGroup = await signedInUser(database().store, 'by-group')
    const nobody = await signedInUser(database().store, 'nobody', false)
    expect(await connections.connected(account(null, nobody))).toBeUndefined()
    expect(await connections.connected(account(null, byGroup))).toMatchObject({ version: 1 })
    expect(await connections.connected(account(null, nobody))).toBeUndefined()
    expect(await connections.connected(account(null, await keeper()))).toMatchObject({ version: 2 })
    expect(await connections.connected(account(nobody.user, nobody))).toMatchObject({ version: 1 })
  })

  describe.each(LOSSES)('who is $what', ({ by: lose }) => {
    test.each([0, 1])('keeps nothing, where %i versions are', async (versions) => {
      const { connections } = await open()
      const by = await keeper()
      if (versions > 0) await connections.connected(account(null, by))
      await database().store.sql.query(lose, [by.user])
      expect(await connections.connected(account(null, by))).toBeUndefined()
    })

    test.runIf(name === 'postgres').each([0, 1])(
      'in the same moment keeps nothing, where %i versions are',
      async (versions) => {
        const { connections } = await open()
        const by = await keeper()
        if (versions > 0) await connections.connected(account(null, by))
        const held = await holdTransaction(database().url ?? '')
        await held.sql.query(lose, [by.user])
        const kept = connections.connected(account(null, by))
        expect(await Promise.all([kept, held.commitWhenAwaited()])).toEqual([undefined, undefined])
      },
    )
  })
})
