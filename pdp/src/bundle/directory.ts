// Owns reading a bundle from a directory. Never follows a symbolic link out of it, never reads a file above the limit.
import { constants } from 'node:fs'
import { open, readdir, realpath } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { BUNDLE_FILE_BYTES_MAX } from '../../../schemas/limits.ts'
import { BundleError, errorAt } from './findings.ts'
import type { BundleTree } from './tree.ts'
import { FileTooLarge, MissingFile } from './tree.ts'

/** Throws BundleError when there is no such directory. */
export async function openDirectory(directory: string): Promise<BundleTree> {
  const root = await realpath(directory).catch(() => undefined)
  if (root === undefined) {
    throw new BundleError([errorAt('gateway.yaml', `there is no bundle in \`${directory}\``)])
  }
  const inside = async (path: string): Promise<string> => {
    const real = await realpath(join(root, path))
    if (real === root || real.startsWith(root + sep)) return real
    throw new Error('a symbolic link leads out of the bundle')
  }
  return {
    read: (path) => readBounded(() => inside(path)).catch(asMissing),
    names: async (folder) => {
      try {
        return await readdir(await inside(folder))
      } catch (error) {
        if (isMissing(error)) return []
        throw error
      }
    },
  }
}

/** Opened without waiting: a pipe would keep whoever reads it until somebody writes. */
async function readBounded(locate: () => Promise<string>): Promise<Uint8Array> {
  const file = await open(await locate(), constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const found = await file.stat()
    if (!found.isFile()) throw new Error('it is not a plain file')
    if (found.size > BUNDLE_FILE_BYTES_MAX) throw new FileTooLarge(BUNDLE_FILE_BYTES_MAX)
    return await file.readFile()
  } finally {
    await file.close()
  }
}

function asMissing(error: unknown): never {
  throw isMissing(error) ? new MissingFile() : error
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}
