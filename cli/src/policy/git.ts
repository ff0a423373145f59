// Owns getting the bundle of a git revision into a private directory. Runs git on the author's own checkout, without
// a shell; writes nothing into it, and takes out only what a bundle is made of.
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, sep } from 'node:path'
import { promisify } from 'node:util'
import { CommandError } from '../errors.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** What of a bundle's directory is read; the rest of the revision stays where it is. */
const PARTS = ['gateway.yaml', 'servers', 'cedar', 'schema', 'entities', 'tests']
const GIT_TIMEOUT_MS = 60_000
const GIT_OUTPUT_BYTES_MAX = 64 * 1024 * 1024

/** Calls `use` with the files that `directory` has at `revision`, and removes them. `environment` is git's. Throws CommandError. */
export async function withRevision<Result>(
  directory: string,
  revision: string,
  environment: Environment,
  use: (files: string) => Promise<Result>,
): Promise<Result> {
  const found = await git(directory, ['rev-parse', '--show-toplevel', '--show-prefix'], environment)
  const [top = '', prefix = ''] = found.split('\n')
  const commit = await commitOf(directory, revision, environment)
  const temporary = await mkdtemp(join(tmpdir(), 'cedargate-revision-'))
  try {
    const env = { ...environment, GIT_INDEX_FILE: join(temporary, 'index') }
    const files = join(temporary, 'files')
    await git(top, ['read-tree', `${commit}:${prefix.replace(/\/$/, '')}`], env).catch(() => {
      throw new CommandError(`\`${revision}\` has no ${prefix}`)
    })
    const names = await git(top, ['ls-files', '-z', '--', ...PARTS], env)
    const chosen = names.split('\0').filter((name) => name !== '')
    for (let from = 0; from < chosen.length; from += NAMES_PER_RUN) {
      const some = chosen.slice(from, from + NAMES_PER_RUN)
      await git(top, ['checkout-index', `--prefix=${files}${sep}`, '--', ...some], env)
    }
    return await use(files)
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

/** Of files, in one command line. */
const NAMES_PER_RUN = 200

async function commitOf(directory: string, revision: string, env: Environment): Promise<string> {
  const words = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`]
  const found = await git(directory, words, env).catch(() => '')
  if (/^[0-9a-f]{40,64}\n$/.test(found)) return found.trim()
  throw new CommandError(`\`${revision}\` is no revision of this repository`, {
    hint: 'a branch, a tag, a commit, or `.` for the files as they are; in CI, fetch the whole history',
  })
}

async function git(directory: string, words: readonly string[], env: Environment): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)('git', ['-C', directory, ...words], {
      timeout: GIT_TIMEOUT_MS,
      maxBuffer: GIT_OUTPUT_BYTES_MAX,
      env,
    })
    return stdout
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim() ?? ''
    throw new CommandError(`git failed: ${said.split('\n')[0] || String(cause)}`, { cause })
  }
}
