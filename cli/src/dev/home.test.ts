// The home of `dev`: private, one process at a time, and its facts there only while it serves.
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CommandError } from '../errors.ts'
import { openHome } from './home.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cedargate-home-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const modeOf = async (path: string): Promise<string> =>
  ((await stat(path)).mode & 0o777).toString(8)
const FACTS = { pepUrl: 'http://a', pdpUrl: 'http://b', operatorToken: 'o', servers: [], users: {} }
const TOKENS = { operator: 'o', pep: 'p', users: { alice: 'a' } }

test('it is made with what is above it, mode 700; a wider one is narrowed', async () => {
  const made = join(folder, 'above', 'made')
  await (await openHome(made)).close()
  expect(await modeOf(made)).toBe('700')
  await chmod(made, 0o755)
  await (await openHome(made)).close()
  expect(await modeOf(made)).toBe('700')
})

test('facts and tokens are private; facts go, tokens stay', async () => {
  const path = join(folder, 'kept')
  await mkdir(path)
  await writeFile(join(path, 'dev.json'), 'of a killed process')
  const home = await openHome(path)
  expect(await readdir(path)).toEqual(['dev.lock'])
  await home.writeFacts(FACTS)
  await home.writeTokens(TOKENS)
  expect(await modeOf(join(path, 'dev.json'))).toBe('600')
  expect(await modeOf(join(path, 'tokens.json'))).toBe('600')
  expect(JSON.parse(await readFile(join(path, 'dev.json'), 'utf8'))).toEqual(FACTS)
  await home.close()
  expect(await readdir(path)).toEqual(['tokens.json'])
  const again = await openHome(path)
  expect(await again.readTokens()).toEqual(TOKENS)
  await again.close()
})

test('one process at a time: a second is refused and takes nothing from the first', async () => {
  const path = join(folder, 'shared')
  const first = await openHome(path)
  await first.writeFacts(FACTS)
  await expect(openHome(path)).rejects.toThrow(
    expect.objectContaining({
      name: 'CommandError',
      message: `CEDARGATE_HOME ${path} is taken: process ${process.pid} is using it; let it end, or stop it`,
      hint: expect.stringContaining('CEDARGATE_HOME'),
    }),
  )
  expect((await readdir(path)).toSorted()).toEqual(['dev.json', 'dev.lock'])
  await first.close()
})

test.each([
  { name: 'cut off', text: '{"operator":' },
  { name: 'of another shape', text: '{"operator":"o"}' },
  { name: 'empty', text: '' },
])('tokens.json that is $name is not used and not overwritten', async ({ name, text }) => {
  const path = join(folder, `tokens ${name}`)
  await mkdir(path)
  await writeFile(join(path, 'tokens.json'), text)
  const home = await openHome(path)
  await expect(home.readTokens()).rejects.toThrow(
    expect.objectContaining({ message: `${join(path, 'tokens.json')} is damaged`, hint: expect.stringContaining('delete it') }),
  )
  expect(await readFile(join(path, 'tokens.json'), 'utf8')).toBe(text)
  await home.close()
}) // biome-ignore format: long lines

/** What openHome says to a directory it may not have. */
async function refusalOf(path: string): Promise<string> {
  const error: unknown = await openHome(path).catch((cause: unknown) => cause)
  return error instanceof CommandError ? `${error.message}\n${error.hint}` : 'it was opened'
}
const notWritable = (path: string, code: string) =>
  new RegExp(`^CEDARGATE_HOME ${path} cannot be written: ${code}.*\nset CEDARGATE_HOME to `)

describe('where it may not write', () => {
  const NOBODY = 65_534

  test('below a file', async () => {
    await writeFile(join(folder, 'file'), '')
    const path = join(folder, 'file', 'home')
    expect(await refusalOf(path)).toMatch(notWritable(path, 'ENOTDIR'))
  })

  test('in a directory that cannot be written, and in one of somebody else', async () => {
    const locked = join(folder, 'locked')
    const path = join(locked, 'home')
    await mkdir(locked)
    await chmod(locked, 0o555)
    await chmod(folder, 0o755)
    const isRoot = process.geteuid?.() === 0
    // Root may write anywhere: be nobody for a moment.
    if (isRoot) process.seteuid?.(NOBODY)
    const said = [await refusalOf(path), isRoot ? await refusalOf(locked) : 'EPERM']
    if (isRoot) process.seteuid?.(0)
    expect(said[0]).toMatch(notWritable(path, 'EACCES'))
    expect(said[1]).toContain('EPERM')
  })
})
