// When `cedargate dev` does not serve: every setting it cannot use is named in one line, and a failed self-check keeps
// its port shut.
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { freePort } from '../../pep/src/upstream/free-port.ts'
import { runCommand, sleep, startCommand } from '../harness/command.ts'
import { copyPglite } from '../harness/pglite.ts'
import { createTestDatabase } from '../harness/store.ts'
import { copyBundle } from './bundle-copy.ts'
import { canLook, descendantsOf, isAlive } from './processes.ts'

let folder: string
let taken: Server
let takenPort: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cedargate-refusals-'))
  const port = await freePort()
  takenPort = String(port)
  taken = createServer().listen(port, '127.0.0.1')
})
afterAll(async () => {
  taken.close()
  await rm(folder, { recursive: true, force: true })
})

const FREE = { CEDARGATE_PEP_PORT: '0', CEDARGATE_PDP_PORT: '0' }
const damaged = async (home: string): Promise<string> => {
  await mkdir(home)
  await writeFile(join(home, 'tokens.json'), '{"operator":')
  return home
}
const withDatabase = async (home: string): Promise<string> => {
  await mkdir(home)
  await copyPglite(join(home, 'database'))
  return home
}
const belowAFile = async (path: string): Promise<string> => {
  await writeFile(path, '')
  return join(path, 'home')
}

type Row = {
  readonly name: string
  readonly env: () => Record<string, string> | Promise<Record<string, string>>
  readonly code: number
  readonly says: RegExp
}
// Settings that are wrong by themselves are told the same way, and listed in cli/src/dev/config.test.ts.
const ROWS: readonly Row[] = [
  { name: 'a misspelt setting', env: () => ({ CEDARGATE_PEPPORT: '1' }), code: 2, says: /unknown setting CEDARGATE_PEPPORT/ },
  { name: 'CEDARGATE_PEP_PORT is taken', env: () => ({ CEDARGATE_PEP_PORT: takenPort }), code: 2, says: /CEDARGATE_PEP_PORT.*EADDRINUSE/ },
  { name: 'CEDARGATE_PDP_PORT is taken', env: () => ({ CEDARGATE_PDP_PORT: takenPort }), code: 2, says: /CEDARGATE_PDP_PORT.*EADDRINUSE/ },
  { name: 'CEDARGATE_HOME cannot be made', env: async () => ({ CEDARGATE_HOME: await belowAFile(join(folder, 'file')) }), code: 2, says: /CEDARGATE_HOME .*ENOTDIR/ },
  { name: 'CEDARGATE_HOME is below /proc', env: () => ({ CEDARGATE_HOME: '/proc/nothing/home' }), code: 2, says: /CEDARGATE_HOME .*ENOENT/ },
  { name: 'tokens.json is damaged', env: async () => ({ CEDARGATE_HOME: await damaged(join(folder, 'damaged')) }), code: 2, says: /tokens\.json is damaged\nhint: delete it/ },
  { name: 'DATABASE_URL does not answer', env: () => ({ DATABASE_URL: 'postgres://u:hunter2@127.0.0.1:1/x' }), code: 1, says: /127\.0\.0\.1:1\/x \(DATABASE_URL\).*ECONNREFUSED/ },
  { name: 'CEDARGATE_BUNDLE is not there', env: async () => ({ CEDARGATE_HOME: await withDatabase(join(folder, 'no-bundle')), CEDARGATE_BUNDLE: join(folder, 'nowhere') }), code: 3, says: /nowhere`\nhint: .*CEDARGATE_BUNDLE/ },
] // biome-ignore format: a table

/** None of them gets as far as a database of the project: once is enough. */
const once = inject('postgresUrl') === null
describe.runIf(once)('a setting that cannot be used', () => {
  test.concurrent.each(ROWS)('$name: one line, exit $code', async ({ name, env, code, says }) => {
    const home = join(folder, name.replaceAll(' ', '-'))
    const ended = await runCommand(['dev'], { CEDARGATE_HOME: home, ...FREE, ...(await env()) })
    expect(ended).toMatchObject({ code, stdout: '' })
    expect(ended.stderr).toMatch(says)
    expect(ended.stderr).toMatch(/^cedargate: .+\n(hint: .+\n)?$/)
    expect(ended.stderr).not.toContain('hunter2')
    expect(existsSync(join(home, 'dev.json'))).toBe(false)
    expect(existsSync(join(home, 'dev.lock'))).toBe(false)
  })
})

describe('a bundle under which a self-check is decided otherwise', () => {
  test('is not served: it says which check and why, and its port never answers a call', async () => {
    const bundle = await copyBundle([
      { file: 'cedar/engineering.cedar', from: 'like "drafts/*"', to: 'like "elsewhere/*"' },
    ])
    const home = await withDatabase(join(folder, 'checked'))
    await writeFile(join(home, 'dev.json'), '{"left":"by a process that was killed"}')
    const port = await freePort()
    const databaseUrl = await createTestDatabase()
    const running = startCommand(['dev', '--bundle', bundle], {
      CEDARGATE_HOME: home,
      CEDARGATE_PEP_PORT: String(port),
      CEDARGATE_PDP_PORT: '0',
      ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }),
    })
    const seen = { answers: new Set<number>(), facts: 0, children: new Set<number>() }
    while (running.child.exitCode === null) {
      const status = await statusOf(`http://127.0.0.1:${port}/files/mcp`)
      if (status !== undefined) {
        seen.answers.add(status)
        if (existsSync(join(home, 'dev.json'))) seen.facts++
      }
      if (canLook) for (const id of descendantsOf(running.child.pid ?? 0)) seen.children.add(id)
      await sleep(100)
    }
    const { code, stdout, stderr } = await running.ended
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(
      /^cedargate: the self-check «a permitted call» was decided .*"no_permit".* expected .*engineering\/write-drafts.*does not serve\nhint: .*dev\.yaml\n$/,
    )
    expect([...seen.answers]).toEqual([503])
    expect(seen.facts).toBe(0)
    expect(existsSync(join(home, 'dev.json'))).toBe(false)
    expect([...seen.children].filter(isAlive)).toEqual([])
    expect(!canLook || seen.children.size >= 2).toBe(true)
    await rm(bundle, { recursive: true })
  })
})

/** Undefined while nothing listens, or while it goes away. */
async function statusOf(url: string): Promise<number | undefined> {
  return fetch(url, { method: 'POST' }).then(
    ({ status }) => status,
    () => undefined,
  )
}
