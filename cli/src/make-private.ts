// Owns making a directory for one user alone.
import { existsSync } from 'node:fs'
import { chmod, mkdir, stat } from 'node:fs/promises'
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

async function makeMissing(path: string): Promise<void> {
  if (existsSync(path)) return
  await makeMissing(dirname(path))
  await mkdir(path, { mode: 0o700 })
}
