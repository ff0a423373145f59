// Credentials on the command line against a running gateway: their life from set to rm, and changing the key that they are
// encrypted with. Nothing that is printed, kept or logged holds a secret.
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type CredentialRow, credentialRow } from '../../schemas/credentials-api.ts'
import type { Ended } from '../harness/command.ts'
import { type Dev, startDev } from '../harness/dev.ts'
import { jsonHere, runHere } from '../harness/in-process.ts'
import { copyBundle } from './bundle-copy.ts'

const SECRET = 'hunter2-canary'
const SERVERS = {
  web: 'credential: { kind: header }',
  mine: 'credential: { kind: bearer, per: user }',
  machine: 'credential: { kind: client_credentials, issuer: "http://127.0.0.1:9" }',
  account: 'credential: { kind: oauth, per: user }',
  plain: '',
}

let bundle: string
let dev: Dev
const said: string[] = []
beforeAll(async () => {
  bundle = await copyBundle()
  for (const [id, credential] of Object.entries(SERVERS)) {
    await mkdir(join(bundle, 'servers', id))
    const yaml = `url: http://127.0.0.1:9/mcp\n${credential}\n`
    await writeFile(join(bundle, 'servers', id, 'server.yaml'), yaml)
    await writeFile(join(bundle, 'servers', id, 'tools.lock.json'), '{"version":1,"tools":[]}')
  }
  dev = await startDev({ bundle, env: { CEDARGATE_LOG_LEVEL: 'debug' } })
  await writeFile(join(bundle, 'secret'), `${SECRET}\n`, { mode: 0o600 })
})
afterAll(async () => {
  await dev.stop()
  await rm(bundle, { recursive: true })
})

const env = () => ({ CEDARGATE_HOME: dev.home })
const run = async (words: string): Promise<Ended> => {
  const ended = await runHere(words.split(' '), env())
  said.push(ended.stdout, ended.stderr)
  return ended
}
const json = (words: string): Promise<unknown> => jsonHere(words.split(' '), env())
const file = () => `--file ${join(bundle, 'secret')}`
const set = async (words: string): Promise<CredentialRow> =>
  credentialRow.parse(await json(`credentials set ${words} ${file()}`))
const list = async (words = ''): Promise<CredentialRow[]> =>
  z.array(credentialRow).parse(await json(`credentials ls${words}`))

describe('the life of a credential', () => {
  test('set, add, list, test, rotate, remove', async () => {
    const made = await set('--server web --header x-a')
    expect(made).toMatchObject({ server: 'web', user: null, kind: 'header', names: ['x-a'], state: 'ok', lastUsedAt: null })
    const { id, version } = await set('--server web --header X-B')
    expect(id).toBe(made.id)
    expect(version).toBeGreaterThan(made.version)
    expect(await list(' --server web')).toMatchObject([{ id, names: ['x-a', 'x-b'] }])
    expect(await run(`credentials test ${id}`)).toMatchObject({ code: 0, stdout: expect.stringMatching(/ is ok\n$/) })
    expect(await run(`credentials rotate ${id} ${file()}`)).toMatchObject({ code: 2, stderr: expect.stringMatching(/name which of x-a, x-b: --header <name>/) })
    expect(await json(`credentials rotate ${id} --header x-a ${file()}`)).toMatchObject({ id, version: version + 1 })
    expect(await run(`credentials rotate ${id}`)).toMatchObject({ code: 2, stderr: expect.stringMatching(/rotated by its new secret: --stdin or --file <path>/) })
    expect(await run(`credentials rm ${id}`)).toMatchObject({ code: 0, stderr: `credential ${id} for server web of the deployment is removed\n` })
    for (const words of [`rm ${id}`, `test ${id}`, `rotate ${id}`])
      expect(await run(`credentials ${words}`)).toMatchObject({ code: 2, stderr: expect.stringMatching(/no such credential|cedargate credentials ls/) })
    expect(await list(' --server web')).toEqual([])
  })

  test('per user, by page', async () => {
    await json('users add carol')
    await json('users add dave')
    await set('--server mine --bearer --user carol')
    await set('--server mine --bearer --user dave')
    expect((await list(' --server mine')).map(({ user }) => user)).toEqual(['carol', 'dave'])
    const [first] = await list(' --server mine --limit 1')
    expect((await list(` --server mine --limit 1 --after ${first?.id}`)).map(({ user }) => user)).toEqual(['dave'])
    expect((await list(' --user dave')).map(({ server }) => server)).toEqual(['mine'])
  })

  test('the secret of a client: a new one for the same client', async () => {
    const { id } = await set('--server machine --client our-client')
    expect(await json(`credentials rotate ${id} ${file()}`)).toMatchObject({ id, kind: 'client_credentials', version: 2 })
    expect(await run(`credentials test ${id}`)).toMatchObject({ code: 3 })
  })

  test.each([
    { words: 'set --server plain --header x-a', says: /server plain declares no credential/ },
    { words: 'set --server web --bearer', says: /wants a credential of kind header: set it with --header <name>/ },
    { words: 'set --server mine --bearer', says: /per user: say whose it is with --user/ },
    { words: 'set --server mine --bearer --user nobody-we-know', says: /there is no user nobody-we-know/ },
    { words: 'set --server account --bearer --user carol', says: /connect it with `cedargate credentials connect`/ },
  ])('$words: refused', async ({ words, says }) => {
    expect(await run(`credentials ${words} ${file()}`)).toMatchObject({ code: 2, stderr: expect.stringMatching(says) })
  })

  test('the link to connect an account', async () => {
    const { stdout } = await run('credentials connect --server account --user carol --no-wait')
    expect(stdout).toBe(`${dev.facts.pdpUrl}/connect/account?user=carol\n`)
    expect(await run('credentials connect --server web')).toMatchObject({ code: 2, stderr: expect.stringMatching(/nobody connects an account for server web/) })
  })
}) // biome-ignore format: long lines

const keys = () =>
  json('keys ls') as Promise<{ id: string; current: boolean; credentials: number }[]>
const total = async () => (await list()).length

describe('changing the key', () => {

  test('rotate, and drop the old one', async () => {
    await set('--server web --header x-a')
    const before = await list()
    const [old] = await keys()
    expect(old).toMatchObject({ current: true, credentials: before.length })
    expect(await run(`keys rotate --drop ${old?.id}`)).toMatchObject({ code: 3 })
    const { code, stderr } = await run('keys rotate')
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(new RegExp(`encrypted anew with key \\S+: ${before.length} of ${before.length} credentials\n.*\n.*\n.*--drop ${old?.id}\n$`)) })
    const [first, second] = await keys()
    expect([first, second]).toMatchObject([{ current: true, credentials: before.length }, { id: old?.id, current: false, credentials: 0 }])
    expect((await list()).map(({ id, version, key }) => ({ id, version, key }))).toEqual(before.map(({ id, version }) => ({ id, version, key: first?.id })))
    expect(await run(`credentials test ${before.find(({ server }) => server === 'web')?.id}`)).toMatchObject({ code: 0 })
    expect(await run(`keys rotate --drop ${old?.id}`)).toMatchObject({ code: 0 })
    expect((await keys()).map(({ id }) => id)).toEqual([first?.id])
  })

  test('stage, then use; --rewrap finds nothing more to do', async () => {
    const staged = (await run('keys rotate --stage')).stdout.trim()
    expect((await keys()).at(-1)).toMatchObject({ id: staged, current: false, credentials: 0 })
    expect(await run(`keys rotate --use ${staged}`)).toMatchObject({ code: 0 })
    expect((await keys())[0]).toMatchObject({ id: staged, current: true, credentials: await total() })
    expect(await run('keys rotate --rewrap')).toMatchObject({ code: 0, stderr: `encrypted anew with key ${staged}: 0 of 0 credentials\n` })
  })

  test('a file that is lost, and found again: nothing of what it encrypts is lost', async () => {
    const path = join(dev.home, 'keys/credentials.key')
    const lost = await readFile(path, 'utf8')
    const count = await total()
    const [old] = await keys()
    await rm(path)
    expect((await run('keys ls')).stdout).toMatch(new RegExp(`\\n${old?.id} +missing +${count}\\n`))
    expect(await run(`credentials set --server mine --bearer --user carol ${file()}`)).toMatchObject({ code: 2, stderr: expect.stringMatching(/run `cedargate keys rotate`/) })
    const [web] = await list(' --server web')
    expect(await run('keys rotate')).toMatchObject({ code: 3, stderr: expect.stringMatching(new RegExp(`${count} credentials stay as they were: .*${web?.id}`)) })
    expect(await run(`credentials test ${web?.id}`)).toMatchObject({ code: 3, stderr: expect.stringMatching(new RegExp(`wrapped by key ${old?.id}, which is not in `)) })
    await writeFile(path, `${await readFile(path, 'utf8')}${lost}`)
    expect(await run('keys rotate --rewrap')).toMatchObject({ code: 0, stderr: expect.stringMatching(new RegExp(`: ${count} of ${count} credentials\n`)) })
    expect(await run(`credentials test ${web?.id}`)).toMatchObject({ code: 0 })
  })
}) // biome-ignore format: long lines

test('no secret and no key was printed, kept or logged', async () => {
  const keyLines = (await readFile(join(dev.home, 'keys/credentials.key'), 'utf8')).trim().split('\n') // biome-ignore format: long
  const acts = JSON.stringify(await json('acts ls'))
  expect(acts).toContain('credentials.set')
  const files = (await readdir(dev.home, { recursive: true, withFileTypes: true })).filter(
    (entry) => entry.isFile() && entry.name !== 'credentials.key',
  )
  const kept = await Promise.all(files.map(({ parentPath, name }) => readFile(join(parentPath, name), 'latin1'))) // biome-ignore format: long
  for (const text of [...said, acts, dev.stdout(), dev.stderr(), ...kept])
    for (const canary of ['hunter2', ...keyLines]) expect(text.includes(canary)).toBe(false)
})
