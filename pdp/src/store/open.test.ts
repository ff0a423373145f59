// Opening and migrating both databases, and the one line said when that cannot be done.
import { hash, randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { Client } from 'pg'
import { describe, expect, test } from 'vitest'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import { freshPglite } from '../../../test/harness/pglite.ts'
import { openBundles } from './bundles.ts'
import { openPglite, openPostgres } from './open.ts'

const ROLE = 'cedargate_pep'

onEachDatabase((database, name) => {
  test('values come back as the same types on both databases', async () => {
    const [row = {}] = await database().store.sql.query(
      `select 7::bigint as int8, '{a,b}'::text[] as list, '\\x00ff'::bytea as bytes,
        '2026-11-22T10:00:00.123Z'::timestamptz as at, null::text as nothing`,
    )
    expect({ ...row, bytes: Array.from(row['bytes'] as Uint8Array) }).toEqual({
      int8: 7,
      list: ['a', 'b'],
      bytes: [0, 255],
      at: new Date('2026-11-22T10:00:00.123Z'),
      nothing: null,
    })
  })

  test('migrating again changes nothing', async () => {
    const { store } = database()
    await Promise.all([store.migrate(), store.migrate()])
    await expect(store.checkMigrated()).resolves.toBeUndefined()
  })

  test('a role holds for its own statements only', async () => {
    const { store } = database()
    const asked = Array.from({ length: 20 }, (_, index) =>
      (index % 2 === 0 ? store.withRole(ROLE) : store.sql).query(
        'select current_user::text as role',
      ),
    )
    const roles = (await Promise.all(asked)).map(([row]) => row?.['role'] as string)
    expect(roles.filter((_, index) => index % 2 === 0)).toEqual(
      Array.from({ length: 10 }, () => ROLE),
    )
    expect(roles).not.toEqual(roles.map(() => ROLE))
  })

  test('a role cannot leave its role within a statement that fails', async () => {
    const pep = database().store.withRole(ROLE)
    await expect(pep.query('select nonsense')).rejects.toThrow(/nonsense/)
    expect((await pep.query('select current_user::text as role'))[0]).toEqual({ role: ROLE })
  })

  test('a bundle is kept once, as it was first', async () => {
    const { store } = database()
    const id = hash('sha256', 'b')
    const kept = { id, source: 'test', commit: null }
    await openBundles(store.sql, () => 1_000).keep({ ...kept, content: 'b' })
    await openBundles(store.sql, () => 2_000).keep({ ...kept, content: 'other' })
    expect(await store.sql.query('select * from bundle where id = $1', [id])).toEqual([
      {
        ...kept,
        content: 'b',
        first_active: new Date(1_000),
        last_active: new Date(2_000),
        confirmed: new Date(2_000),
      },
    ])
  })

  test('a database of a newer or another release is refused', async () => {
    const { store } = database()
    const insert = `insert into drizzle.__drizzle_migrations (hash, created_at) values ('x', 9e15)`
    await store.sql.query(insert)
    await expect(store.checkMigrated()).rejects.toThrow(/another release/)
    await expect(store.migrate()).rejects.toThrow(/another release/)
    await store.sql.query(`delete from drizzle.__drizzle_migrations where hash = 'x'`)
    await store.checkMigrated()
  })

  if (name === 'postgres') postgresOnly(() => database().url ?? '')
})

function postgresOnly(url: () => string): void {
  const address = (change: Partial<Pick<URL, 'username' | 'password' | 'pathname'>>): string =>
    Object.assign(new URL(url()), change).href

  async function asAdmin(...statements: string[]): Promise<void> {
    const client = new Client({ connectionString: url() })
    await client.connect()
    for (const statement of statements) await client.query(statement)
    await client.end()
  }

  test('a login that commits without waiting for the disk is refused', async () => {
    await asAdmin(
      `create role lazy login superuser password 'x'`,
      'alter role lazy set synchronous_commit = off',
    )
    const opened = openPostgres(address({ username: 'lazy', password: 'x' }))
    await expect(opened).rejects.toThrow(/synchronous_commit=off; set it to on/)
  })

  test('an empty database is refused, with the command that makes the tables', async () => {
    await asAdmin('create database empty')
    const store = await openPostgres(address({ pathname: '/empty' }), { max: 2 })
    const want = /0 of \d+ migrations; run `cedargate db migrate`/
    await expect(store.checkMigrated()).rejects.toThrow(want)
    await store.close()
  })

  test('many migrate at once, in two databases of one cluster', async () => {
    await asAdmin('create database one', 'create database two')
    const paths = ['/one', '/two', '/one', '/two', '/one', '/two']
    const stores = await Promise.all(paths.map((pathname) => openPostgres(address({ pathname }))))
    await Promise.all(stores.map((store) => store.migrate()))
    const checked = await Promise.allSettled(stores.map((store) => store.checkMigrated()))
    expect(checked.map(({ status }) => status)).toEqual(paths.map(() => 'fulfilled'))
    await Promise.all(stores.map((store) => store.close()))
  })

  test.each([
    { name: 'that may make roles', options: 'createrole', database: 'owned' },
    { name: 'that was made a member', options: `in role ${ROLE}`, database: 'lent' },
  ])(
    'a login $name, no superuser, migrates and writes as the role',
    async ({ options, database }) => {
      const login = `owner_of_${database}`
      await asAdmin(
        `create role ${login} login ${options} password 'x'`,
        `create database ${database} owner ${login}`,
      )
      const opened = address({ username: login, password: 'x', pathname: `/${database}` })
      const store = await openPostgres(`${opened}?options=-c%20work_mem%3D8MB`)
      await store.migrate()
      expect(
        await store
          .withRole(ROLE)
          .query(`select current_user::text, current_setting('work_mem') as mem`),
      ).toEqual([{ current_user: ROLE, mem: '8MB' }])
      await store.close()
    },
  )

  test.each([
    { name: 'a wrong password', change: { password: 'hunter2' } },
    { name: 'no such database', change: { pathname: '/nowhere' } },
  ])('$name: one line with the setting and without the password', async ({ change }) => {
    const message = await failureOf(openPostgres(address(change)))
    expect(message).toMatch(
      /^cannot use the database at 127\.0\.0\.1:\d+\/\w+ \(DATABASE_URL\): .+$/,
    )
    expect(message).not.toContain('hunter2')
  })
}

async function failureOf(opened: Promise<unknown>): Promise<string> {
  return opened.then(
    () => '',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )
}

describe('a database that cannot be used', () => {
  test.each([
    { name: 'nobody listens', url: 'postgres://u:hunter2@127.0.0.1:1/d', want: '127.0.0.1:1/d' },
    {
      name: 'no such host',
      url: 'postgres://u:hunter2@nowhere.invalid/d',
      want: 'nowhere.invalid:5432/d',
    },
    {
      name: 'no such socket',
      url: 'postgres://u:hunter2@/d?host=/nonexistent',
      want: '/nonexistent:5432/d',
    },
  ])('$name: one line with the setting and without the password', async ({ url, want }) => {
    const message = await failureOf(openPostgres(url))
    expect(message).toContain(`cannot use the database at ${want} (DATABASE_URL)`)
    expect(message).not.toContain('hunter2')
    expect(message).not.toContain('\n')
  })
})

describe('the embedded database', () => {
  test('whose thread is lost answers nothing more, says so, and lets go of its directory', async () => {
    const threads: Worker[] = []
    const keep = (worker: Worker): void => void threads.push(worker)
    const { home, directory } = await freshPglite()
    process.once('worker', keep)
    const store = await openPglite(directory)
    const under = store.sql.query('select pg_sleep(0), 1 as one').catch((error: unknown) => error)
    await threads[0]?.terminate()
    await under
    await expect(store.sql.query('select 1')).rejects.toThrow(/the embedded database ended/)
    await expect(store.close()).rejects.toThrow(/the embedded database ended/)
    const again = await openPglite(directory)
    expect(await again.sql.query('select 1 as one')).toEqual([{ one: 1 }])
    await again.close()
    await rm(home, { recursive: true, force: true })
  })

  test('is for one process; its directory is closed to others', async () => {
    const { home, directory } = await freshPglite()
    const store = await openPglite(directory)
    await expect(openPglite(directory)).rejects.toThrow(
      new RegExp(`process ${process.pid} is using it.*CEDARGATE_HOME`),
    )
    await store.close()
    const again = await openPglite(directory)
    await again.checkMigrated()
    await again.close()
    await rm(home, { recursive: true })
  })

  test('in a place that is no directory: an error that names the setting', async () => {
    const home = await mkdtemp(join(tmpdir(), 'cedargate-'))
    const file = join(home, randomUUID())
    await writeFile(file, '')
    await expect(openPglite(join(file, 'pglite'))).rejects.toThrow(/CEDARGATE_HOME/)
    await rm(home, { recursive: true })
  })
})
