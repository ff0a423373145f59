// Owns a git repository at a ref as a source of bundles. Fetches one commit at a time into a bare repository of its own.
import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openCommit } from './commit-tree.ts'
import type { GitEnvironment, GitOptions } from './git.ts'
import { git, gitOrThrow, lastLine, removeStaleLocks, withoutCredentials } from './git.ts'
import { signatureProblem } from './signature.ts'
import type { BundleSource } from './source.ts'
import { SourceError } from './source.ts'

export type GitSettings = {
  /** `https://…`, `ssh://…` or `file:///…`; may hold credentials, which are never told. */
  readonly url: string
  /** A branch, a tag or a commit. */
  readonly ref: string
  /** Where the bundle lies in the repository; '' for its root. */
  readonly folder: string
  readonly pollMs: number
  /** Directory for what was fetched; made if missing. */
  readonly directory: string
  readonly env: GitEnvironment
}

const REF = /^(?!.*(?:\.\.|@\{|\/\/))[A-Za-z0-9_][A-Za-z0-9._/-]{0,254}$/
const FOLDER = /^(?:[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)?$/

/** Throws SourceError for a URL, a ref or a folder that is none. Does not contact anything yet. */
export function gitSource(settings: GitSettings): BundleSource {
  const { url, ref, folder, pollMs, directory, env } = settings
  const protocols = protocolsOf(url)
  if (!REF.test(ref)) throw new SourceError(`CEDARGATE_BUNDLE_REF \`${ref}\` is no name of a ref`)
  if (!FOLDER.test(folder)) {
    throw new SourceError(`CEDARGATE_BUNDLE_FOLDER \`${folder}\` is no folder of a repository`)
  }
  const id = createHash('sha256').update(url).digest('hex').slice(0, 16)
  const options: GitOptions = { repository: join(directory, `${id}.git`), env, protocols }
  return {
    name: `${withoutCredentials(url)} ${ref}${folder === '' ? '' : ` ${folder}/`}`,
    intervalMs: pollMs,
    async look() {
      const commit = await fetchCommit(url, ref, options)
      return {
        revision: commit,
        commit,
        open: () => openCommit(commit, folder, options),
        signatureProblem: (signers) => signatureProblem(commit, signers, options),
      }
    },
  }
}

function protocolsOf(url: string): string {
  const protocol = URL.parse(url)?.protocol
  if (protocol === 'https:' || protocol === 'ssh:') return 'https:ssh'
  if (protocol === 'file:') return 'file'
  throw new SourceError(
    `CEDARGATE_BUNDLE \`git+${withoutCredentials(url)}\` must be git+https, git+ssh or git+file`,
  )
}

/** One commit and what it holds; a fetch that fails leaves what was fetched before. */
async function fetchCommit(url: string, ref: string, options: GitOptions): Promise<string> {
  await mkdir(options.repository, { recursive: true, mode: 0o700 })
  await gitOrThrow(['init', '--quiet', '--bare'], options)
  await removeStaleLocks(options.repository)
  const fetch = ['fetch', '--quiet', '--no-tags', '--no-recurse-submodules', '--depth=1', '--force']
  const { code, stderr } = await git([...fetch, '--', url, ref], options)
  if (code !== 0) throw fetchProblem(stderr, ref, url)
  const parsed = await gitOrThrow(['rev-parse', '--verify', 'FETCH_HEAD^{commit}'], options)
  return parsed.toString('utf8').trim()
}

function fetchProblem(stderr: string, ref: string, url: string): SourceError {
  const where = withoutCredentials(url)
  if (/couldn't find remote ref|not our ref/i.test(stderr)) {
    return new SourceError(`the ref \`${ref}\` is not in ${where} (CEDARGATE_BUNDLE_REF)`)
  }
  return new SourceError(`${where} cannot be fetched: ${lastLine(stderr)}`)
}
