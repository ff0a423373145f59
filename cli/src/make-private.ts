// Owns making directories and files for one user alone.
import { existsSync } from 'node:fs'
import { chmod, mkdir, rename, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Makes `path` and what is missing above it, mode 0700, and makes it 0700 if it was there. Throws the error of the
 * system. Not `mkdir` with `recursive`: Node tries for ever where a parent exists and yet nothing can be made in it.
 */
export async function makePrivateDirectory(path: string): Promise<void> {
  await makeMissing(dirname(path))
  await mkdir(path, { mode: 0o700 }).catch(async (error: unknown) => {
    if (!existsSync(path) || !(await stat(path)).isDirectory()) throw error
  })
  await chmod(path, 0o700)
}

/** Mode 0600 from its first byte on, renamed into place: a reader sees all of it or none. */
export async function writePrivate(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}.tmp`
  await writeFile(draft, text, { mode: 0o600, flush: true })
  await rename(draft, path)
}

async function makeMissing(path: string): Promise<void> {
  if (existsSync(path)) return
  await makeMissing(dirname(path))
  await mkdir(path, { mode: 0o700 })
}
