// Owns which kind of source a setting names.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BundleConfig } from '../config.ts'
import { directorySource } from './directory-source.ts'
import type { GitEnvironment } from './git.ts'
import { gitSource } from './git-source.ts'
import type { BundleSource } from './source.ts'
import { SourceError } from './source.ts'

type Surroundings = {
  /** What was fetched is kept below it. */
  readonly home: string
  readonly env: GitEnvironment
}

const GIT = 'git+'

/** Throws SourceError for what names no source. Does not look at it yet. */
export function openSource(
  { location, ref, folder, pollMs }: BundleConfig,
  { home, env }: Surroundings,
): BundleSource {
  if (!location.startsWith(GIT)) return directorySource(location)
  const url = location.slice(GIT.length)
  return gitSource({ url, ref, folder, pollMs, directory: join(home, 'bundles'), env })
}

/** Keys of a file, one a line; empty lines and lines that begin with `#` are left out. Throws SourceError. */
export async function readSigners(path: string | undefined): Promise<readonly string[]> {
  if (path === undefined) return []
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    const message = `CEDARGATE_BUNDLE_SIGNERS_FILE ${path} cannot be read`
    throw new SourceError(message, { cause })
  })
  const lines = text.split('\n').map((line) => line.trim())
  const signers = lines.filter((line) => line !== '' && !line.startsWith('#'))
  if (signers.length > 0) return signers
  throw new SourceError(`CEDARGATE_BUNDLE_SIGNERS_FILE ${path} holds no key`)
}
