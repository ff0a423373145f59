// The keys of credentials on the command line: which file is changed, when it is not, and what is said of an older key.
// With a real gateway and real credentials: test/e2e/credentials.test.ts.
import { mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readKekFile, stageKey, useNewKey } from '../../../pdp/src/keys/key-file.ts'
import type { RewrapLine } from '../../../schemas/credentials-api.ts'
import type { Ended } from '../../../test/harness/command.ts'
import { runHere } from '../../../test/harness/in-process.ts'
import { readConfig } from '../config.ts'
import { runProgram } from '../program.ts'
import { type FakeGateway, type Route, startFakeGateway } from '../testing.ts'

const KEYS = 'GET /admin/v1/credential-keys'
const REWRAP = 'POST /admin/v1/credential-keys/rewrap'
const ID = '01990000-0000-7000-8000-000000000001'

let gateway: FakeGateway
let home: string
let directory: string
let path: string
beforeAll(async () => {
  gateway = await startFakeGateway()
})
afterAll(() => gateway.close())
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cedargate-keys-'))
  directory = join(home, 'keys')
  path = join(directory, 'credentials.key')
  await mkdir(directory)
})
afterEach(() => rm(home, { recursive: true }))

const env = () => ({ CEDARGATE_URL: gateway.url, CEDARGATE_TOKEN: 'cgs_mine', CEDARGATE_HOME: home }) // biome-ignore format: long
const run = (...words: string[]): Promise<Ended> => runHere(['keys', ...words], env())
const idsOf = async (): Promise<string[]> => (await readKekFile(directory) ?? []).map(({ id }) => id) // biome-ignore format: long
const keyRow = (id: string, credentials: number) => ({ id, known: true, credentials })
/** A gateway whose PDP reads this file whenever it is asked. */
const sameFile = (of: { credentials?: number; line?: Partial<RewrapLine>; end?: false } = {}): Route[] => [
  { on: KEYS, lines: async () => {
    const ids = await idsOf()
    return [{ source: path, current: ids[0] ?? null, keys: ids.map((id, index) => keyRow(id, index === 0 ? 1 : (of.credentials ?? 0))) }]
  } },
  { on: REWRAP, ...(of.end === false ? { end: false } : {}), lines: async () => {
    const line = { key: (await idsOf())[0] ?? '', total: 2, failed: [], finished: false }
    return [{ ...line, done: 0 }, { ...line, done: 1 }, { ...line, done: 2, finished: true, ...of.line }]
  } },
] // biome-ignore format: long lines

describe('rotate', () => {
  test('the first key there is', async () => {
    gateway.answer(...sameFile())
    expect(await run('rotate')).toMatchObject({ code: 0, stdout: '', stderr: expect.stringMatching(/^encrypted anew: 0 of 2\nencrypted anew with key \S+: 2 of 2 credentials\nnext: copy \S+ to every other PDP of this deployment, and back it up\n$/) })
    expect((await idsOf()).length).toBe(1)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
  }) // biome-ignore format: long lines

  test('a fresh key goes first, everything is encrypted anew, and the old key stays', async () => {
    const { id: old } = await useNewKey(directory)
    gateway.answer(...sameFile())
    const { code, stdout, stderr } = await run('rotate')
    const [id, ...others] = await idsOf()
    expect({ code, stdout, others }).toEqual({ code: 0, stdout: '', others: [old] })
    expect(stderr).toMatch(new RegExp(`with key ${id}: 2 of 2 .*\\nnext: copy ${path} to every other PDP .*\\nkey ${old} stays in it and decrypts: keep it .*\\nthen take it away: cedargate keys rotate --drop ${old}\\n$`))
    expect(gateway.asked.map(({ on }) => on)).toEqual([KEYS, REWRAP])
    for (const line of (await readFile(path, 'utf8')).trim().split('\n')) expect(stderr).not.toContain(line)
  }) // biome-ignore format: long lines

  test('--format json: the lines of the gateway', async () => {
    gateway.answer(...sameFile())
    const { code, stdout, stderr } = await run('rotate', '--format', 'json')
    const [key] = await idsOf()
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout.trim().split('\n').map((line) => JSON.parse(line))).toEqual([0, 1, 2].map((done) => ({ key, done, total: 2, failed: [], finished: done === 2 })))
  }) // biome-ignore format: long lines

  test('on a terminal: one line, written over', async () => {
    gateway.answer(...sameFile())
    const said: string[] = []
    const io = { out: () => undefined, err: (text: string) => void said.push(`${text}\n`), update: (text: string) => void said.push(`\r${text}`) }
    expect(await runProgram(['keys', 'rotate'], readConfig(env()), io, '0')).toBe(0)
    expect(said.slice(0, 4)).toEqual(['\rencrypted anew: 0 of 2', '\rencrypted anew: 1 of 2', '\rencrypted anew: 2 of 2', '\r'])
  }) // biome-ignore format: long lines

  test('--stage adds one in last place, without a gateway; --use takes it', async () => {
    const { id: old } = await useNewKey(directory)
    gateway.answer()
    const { stdout, stderr } = await run('rotate', '--stage')
    const staged = stdout.trim()
    expect(await idsOf()).toEqual([old, staged])
    expect(stderr).toContain(`next: copy the file to every PDP of this deployment, and then run \`cedargate keys rotate --use ${staged}\``)
    expect(JSON.parse((await run('rotate', '--stage', '--format', 'json')).stdout)).toEqual({ id: (await idsOf())[2] })
    expect(gateway.asked).toEqual([])
    gateway.answer(...sameFile())
    expect(await run('rotate', '--use', staged)).toMatchObject({ code: 0 })
    expect((await idsOf()).slice(0, 2)).toEqual([staged, old])
    expect(await run('rotate', '--use', 'none')).toMatchObject({ code: 2, stderr: expect.stringMatching(/there is no key none in/) })
  }) // biome-ignore format: long lines

  test('the gateway breaks off after the file was changed: nothing is lost, and how to go on', async () => {
    const { id: old } = await useNewKey(directory)
    for (const [of, says] of [
      [{ end: false, line: { finished: false } }, /ended its answer too early/],
      [{ line: { finished: false } }, /did not finish/],
    ] as const) {
      gateway.answer(...sameFile(of))
      const { code, stderr } = await run('rotate')
      expect(code).toBe(2)
      expect(stderr).toMatch(says)
      expect(stderr).toMatch(/has the new key \S+, but: .*\nhint: nothing is lost, both keys decrypt; go on with `cedargate keys rotate --rewrap`\n$/)
    }
    expect(await idsOf()).toContain(old)
    gateway.answer(...sameFile())
    expect(await run('rotate', '--rewrap')).toMatchObject({ code: 0, stderr: expect.stringMatching(/2 of 2 credentials\n$/) })
    expect(gateway.asked.map(({ on }) => on)).toEqual([REWRAP])
    expect((await idsOf()).length).toBe(3)
  }) // biome-ignore format: long lines

  test('what could not be encrypted anew: exit 3, and which', async () => {
    gateway.answer(...sameFile({ line: { failed: [ID] } }))
    for (const words of [['rotate'], ['rotate', '--rewrap']])
      expect(await run(...words)).toMatchObject({ code: 3, stderr: expect.stringMatching(new RegExp(`^encrypted anew: 0 of 2\\ncedargate: 1 credentials stay as they were: ${ID}\\nhint: .*drop no key before`)) })
  }) // biome-ignore format: long lines

  test('another PDP answered, which has the file of before', async () => {
    const { id: old } = await useNewKey(directory)
    gateway.answer(...sameFile({ line: { key: old } }))
    expect(await run('rotate')).toMatchObject({ code: 2, stderr: expect.stringMatching(new RegExp(`the gateway encrypts with key ${old}, not with the new key \\S+\\nhint: copy ${path} to every PDP`)) })
  }) // biome-ignore format: long lines
})

const otherKeys = (source: string): Route => ({ on: KEYS, answers: { source, current: 'theirs', keys: [keyRow('theirs', 1)] } }) // biome-ignore format: long

describe('nothing is changed', () => {
  test.each(['rotate', 'rotate --use x', 'rotate --drop x'])('%s: the gateway has other keys', async (words) => {
    const { id } = await useNewKey(directory)
    gateway.answer(otherKeys('/elsewhere/credentials.key'))
    expect(await run(...words.split(' '))).toMatchObject({ code: 2, stderr: expect.stringMatching(new RegExp(`^cedargate: the gateway encrypts with theirs from /elsewhere/credentials.key, ${path} begins with ${id}\nhint: .*CEDARGATE_HOME\n$`)) })
    expect(await idsOf()).toEqual([id])
  }) // biome-ignore format: long lines

  test.each(['rotate', 'rotate --use x', 'rotate --drop x'])('%s: its keys are in a variable, though the file has the same', async (words) => {
    const { id } = await useNewKey(directory)
    gateway.answer({ on: KEYS, answers: { source: 'CEDARGATE_CREDENTIAL_KEYS', current: id, keys: [keyRow(id, 1)] } })
    expect(await run(...words.split(' '))).toMatchObject({ code: 2, stderr: expect.stringMatching(/^cedargate: the gateway has its keys from CEDARGATE_CREDENTIAL_KEYS, not from a file\nhint: put the new key first in it.*`cedargate keys rotate --rewrap`\n$/) })
    expect(await idsOf()).toEqual([id])
    expect(gateway.asked.map(({ on }) => on)).toEqual([KEYS])
  }) // biome-ignore format: long lines

  test('rotate --help says how, too', async () => {
    expect((await run('rotate', '--help')).stdout).toMatch(
      /CEDARGATE_CREDENTIAL_KEYS[^]*openssl rand -base64 32[^]*--rewrap/,
    )
  })

  test('there are no keys here', async () => {
    await rm(directory, { recursive: true })
    gateway.answer(otherKeys('elsewhere'))
    for (const words of [['rotate'], ['rotate', '--stage'], ['rotate', '--drop', 'x']])
      expect(await run(...words)).toMatchObject({ code: 2, stderr: expect.stringMatching(/^cedargate: there are no keys here: .*credentials\.key\nhint: run this where the PDP has its keys/) })
  }) // biome-ignore format: long lines

  test.each(['--stage --use x', '--stage --drop x', '--use x --rewrap', '--rewrap --drop x'])('rotate %s', async (words) => {
    gateway.answer(...sameFile())
    expect(await run('rotate', ...words.split(' '))).toMatchObject({ code: 2, stderr: expect.stringMatching(/cannot be used with option/) })
    expect(await idsOf()).toEqual([])
  }) // biome-ignore format: long lines

  test('no gateway answers', async () => {
    const { id } = await useNewKey(directory)
    const ended = await runHere(['keys', 'rotate'], { ...env(), CEDARGATE_URL: 'http://127.0.0.1:1' })
    expect(ended).toMatchObject({ code: 2, stderr: expect.stringMatching(/no gateway answers/) })
    expect(await idsOf()).toEqual([id])
  }) // biome-ignore format: long lines
})

describe('rotate --drop', () => {
  test('a key that encrypts nothing', async () => {
    const { id } = await useNewKey(directory)
    const { id: old } = await stageKey(directory)
    gateway.answer(...sameFile())
    expect(await run('rotate', '--drop', old)).toEqual({ code: 0, stdout: '', stderr: `key ${old} is no longer in ${path}; on every other host that has it, run this too, and copy no file for it\n` })
    expect(await idsOf()).toEqual([id])
    const { id: again } = await stageKey(directory)
    expect(JSON.parse((await run('rotate', '--drop', again, '--format', 'json')).stdout)).toEqual({ dropped: again })
  }) // biome-ignore format: long lines

  test('not one that encrypts something, not the first, and none that is not there', async () => {
    const { id } = await useNewKey(directory)
    const { id: old } = await stageKey(directory)
    gateway.answer(...sameFile({ credentials: 7 }))
    expect(await run('rotate', '--drop', old)).toMatchObject({ code: 3, stderr: `cedargate: key ${old} encrypts 7 credentials\nhint: \`cedargate keys rotate --rewrap\` encrypts them with the current key\n` })
    expect(await run('rotate', '--drop', id)).toMatchObject({ code: 3 })
    expect(await run('rotate', '--drop', 'none')).toMatchObject({ code: 2, stderr: expect.stringMatching(/there is no key none/) })
    expect(await idsOf()).toEqual([id, old])
  }) // biome-ignore format: long lines
})

test('ls: which key encrypts, which are missing, and where they are from', async () => {
  const keys = [keyRow('k2', 1), keyRow('k1', 4), { id: 'k0', known: false, credentials: 2 }]
  gateway.answer({ on: KEYS, answers: { source: path, current: 'k2', keys } })
  const { stdout, stderr } = await run('ls')
  expect(stdout).toMatch(/^ID +USE +CREDENTIALS\nk2 +encrypts +1\nk1 +decrypts +4\nk0 +missing +2\n$/)
  expect(stderr).toBe(`from ${path}\n`)
  const json = JSON.parse((await run('ls', '--format', 'json')).stdout)
  expect(json).toEqual(keys.map((key, index) => ({ ...key, current: index === 0 })))
  gateway.answer({ on: KEYS, answers: { source: path, current: null, keys: [] } })
  expect(await run('ls')).toEqual({ code: 0, stdout: '', stderr: `no keys yet; \`cedargate keys rotate\` makes one\nfrom ${path}\n` })
}) // biome-ignore format: long lines
