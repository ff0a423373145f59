// A repository as a source of bundles: the real git, the real ssh-keygen, and everything a repository must not do.
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readBundleFiles } from '../bundle/files.ts'
import { BundleError, findingLine } from '../bundle/findings.ts'
import { withoutCredentials } from './git.ts'
import { gitSource } from './git-source.ts'

const run = promisify(execFile)
const AUTHOR = ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.org']

let folder: string
let repository: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cedargate-git-'))
  repository = join(folder, 'repository')
  await git('init', '--quiet', '--initial-branch=main')
  await commit({ 'gateway.yaml': 'name: One\n', 'cedar/a.cedar': '// nothing\n' })
})
afterEach(() => rm(folder, { recursive: true }))

async function git(...args: string[]): Promise<string> {
  await mkdir(repository, { recursive: true })
  return (await run('git', [...AUTHOR, '-C', repository, ...args])).stdout.trim()
}

/** Answers the id of the new commit. */
async function commit(files: Record<string, string>, ...options: string[]): Promise<string> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(repository, name)), { recursive: true })
    await writeFile(join(repository, name), text)
  }
  await git('add', '--all')
  await git('commit', '--quiet', '--message', 'change', '--allow-empty', ...options)
  return git('rev-parse', 'HEAD')
}

function source(change: { ref?: string; folder?: string; url?: string } = {}) {
  const env = { PATH: '/usr/bin:/bin:/usr/local/bin', HOME: folder }
  const settings = { ref: 'main', folder: '', pollMs: 1_000, directory: join(folder, 'kept'), env }
  return gitSource({ url: `file://${repository}`, ...settings, ...change })
}

async function gatewayOf(from: ReturnType<typeof source>): Promise<string> {
  const { gateway } = await readBundleFiles(await (await from.look()).open())
  return gateway.text
}

const findingsIn = async (from: ReturnType<typeof source>): Promise<string[]> => {
  const opened = await (await from.look()).open()
  const error = await readBundleFiles(opened).catch((found: unknown) => found)
  if (error instanceof BundleError) return error.findings.map(findingLine)
  throw error
}

describe('a ref', () => {
  test('is followed from commit to commit, forced ones too', async () => {
    const from = source()
    const first = await from.look()
    expect(first.commit).toBe(await git('rev-parse', 'HEAD'))
    expect(await gatewayOf(from)).toBe('name: One\n')
    const second = await commit({ 'gateway.yaml': 'name: Two\n' })
    expect(await from.look()).toMatchObject({ commit: second, revision: second })
    expect(await gatewayOf(from)).toBe('name: Two\n')
    await git('reset', '--quiet', '--hard', 'HEAD~1')
    expect((await from.look()).commit).toBe(first.commit)
  })

  test('may be a tag or a commit', async () => {
    const id = await git('rev-parse', 'HEAD')
    await git('tag', 'v1')
    await commit({ 'gateway.yaml': 'name: Two\n' })
    expect((await source({ ref: 'v1' }).look()).commit).toBe(id)
    expect((await source({ ref: id }).look()).commit).toBe(id)
  })

  test('that vanishes is told by name, and what was fetched can still be read', async () => {
    await git('branch', 'release')
    const from = source({ ref: 'release' })
    const before = await from.look()
    await git('branch', '--quiet', '-D', 'release')
    await expect(from.look()).rejects.toThrow(
      `the ref \`release\` is not in file://${repository} (CEDARGATE_BUNDLE_REF)`,
    )
    expect((await readBundleFiles(await before.open())).gateway.text).toBe('name: One\n')
  })

  test('is fetched again after a git that died and left its lock', async () => {
    const from = source()
    await from.look()
    const [kept = ''] = await readdir(join(folder, 'kept'))
    const lock = join(folder, 'kept', kept, 'shallow.lock')
    await writeFile(lock, '')
    await commit({ 'gateway.yaml': 'name: Two\n' })
    await expect(from.look()).rejects.toThrow(/lock/)
    const old = new Date(Date.now() - 120_000)
    await utimes(lock, old, old)
    expect(await gatewayOf(from)).toBe('name: Two\n')
  })

  test('of a repository that is gone is an error of one line', async () => {
    await rm(repository, { recursive: true })
    await expect(source().look()).rejects.toThrow(/^file:.* cannot be fetched: \S.*$/)
  })

  test('lies in the folder that is named', async () => {
    await commit({ 'gates/eu/gateway.yaml': 'name: Inner\n' })
    expect(await gatewayOf(source({ folder: 'gates/eu' }))).toBe('name: Inner\n')
    expect(await findingsIn(source({ folder: 'gates/us' }))).toEqual([
      'gateway.yaml:1:1: the file is missing',
    ])
  })
})

describe('what a commit must not hold', () => {
  test('a symbolic link, whether it leads out or not', async () => {
    await mkdir(join(repository, 'cedar'), { recursive: true })
    await symlink('../../../etc/passwd', join(repository, 'cedar/b.cedar'))
    await symlink('a.cedar', join(repository, 'cedar/c.cedar'))
    await commit({})
    expect(await findingsIn(source())).toEqual([
      'cedar/b.cedar:1:1: a symbolic link: a bundle in git holds plain files only',
      'cedar/c.cedar:1:1: a symbolic link: a bundle in git holds plain files only',
    ])
  })

  test('a folder that is a symbolic link', async () => {
    await rm(join(repository, 'cedar'), { recursive: true })
    await symlink('/etc', join(repository, 'servers'))
    await commit({})
    expect(await findingsIn(source())).toEqual([
      'servers:1:1: a symbolic link: a bundle in git holds plain files only',
    ])
  })

  test('a submodule', async () => {
    const id = await git('rev-parse', 'HEAD')
    await git('update-index', '--add', '--cacheinfo', `160000,${id},cedar/sub.cedar`)
    await git('commit', '--quiet', '--message', 'submodule')
    expect(await findingsIn(source())).toEqual([
      'cedar/sub.cedar:1:1: a submodule: a bundle in git holds plain files only',
    ])
  })

  test('a file of ten megabytes', async () => {
    await commit({ 'cedar/big.cedar': `//${'x'.repeat(10 * 1024 * 1024)}` })
    expect(await findingsIn(source())).toEqual([
      'cedar/big.cedar:1:1: the file is larger than 4 MiB',
    ])
  })
})

/** A new SSH key; `text` is its public half. */
async function key(name: string): Promise<{ file: string; text: string }> {
  const file = join(folder, name)
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', file])
  const text = (await readFile(`${file}.pub`, 'utf8')).trim()
  return { file, text }
}
const signWith = (file: string): string[] => [`--gpg-sign=${file}.pub`]

const problems = async (...signers: string[]) => (await source().look()).signatureProblem(signers)

describe('signatures', () => {
  beforeEach(() => git('config', 'gpg.format', 'ssh'))

  test('count only of a key that may sign', async () => {
    const [ada, eve] = [await key('ada'), await key('eve')]
    await commit({ 'gateway.yaml': 'name: Unsigned\n' })
    expect(await problems(ada.text)).toMatch(
      /^commit [0-9a-f]{12} is not signed by one of the 1 keys/,
    )
    await commit({ 'gateway.yaml': 'name: Eve\n' }, ...signWith(eve.file))
    expect(await problems(ada.text)).toMatch(/is not signed by one of/)
    expect(await problems(ada.text, eve.text)).toBeUndefined()
    await commit({ 'gateway.yaml': 'name: Ada\n' }, ...signWith(ada.file))
    expect(await problems(ada.text)).toBeUndefined()
    expect(await problems('A'.repeat(40))).toMatch(/is not signed by one of/)
    expect(await problems(ada.text.split(' ').slice(0, 2).join(' '))).toBeUndefined()
  })

  test('do not survive a change of what was signed', async () => {
    const ada = await key('ada')
    await commit({ 'gateway.yaml': 'name: Ada\n' }, ...signWith(ada.file))
    const raw = await git('cat-file', 'commit', 'HEAD')
    const forged = join(folder, 'forged')
    await writeFile(forged, `${raw.replace('change', 'other')}\n`)
    const id = await git('hash-object', '-t', 'commit', '-w', forged)
    await git('update-ref', 'refs/heads/main', id)
    expect(await (await source().look()).signatureProblem([ada.text])).toMatch(/is not signed/)
  })
})

describe('settings', () => {
  test.each([
    { name: 'another protocol', change: { url: 'ext::sh -c touch% x' } },
    { name: 'plain http', change: { url: 'http://example.org/x.git' } },
    { name: 'a ref that is an option', change: { ref: '--upload-pack=touch' } },
    { name: 'a ref with a range', change: { ref: 'a..b' } },
    { name: 'an empty ref', change: { ref: '' } },
    { name: 'a folder above', change: { folder: '../x' } },
    { name: 'an absolute folder', change: { folder: '/x' } },
  ])('$name is refused before anything is contacted', ({ change }) => {
    expect(() => source(change)).toThrow(/^CEDARGATE_BUNDLE/)
  })

  test('credentials of a URL are never told', async () => {
    const from = source({ url: 'https://ada:secret@127.0.0.1:1/x.git' })
    expect(from.name).toBe('https://127.0.0.1:1/x.git main')
    const error = (await from.look().catch((found: unknown) => found)) as Error
    expect(error.message).toMatch(/cannot be fetched/)
    expect(`${error.message}${error.stack}`).not.toContain('secret')
    expect(withoutCredentials("fatal: 'https://a:b@c/d' and ssh://e@f")).toBe(
      "fatal: 'https://c/d' and ssh://f",
    )
  })
})
