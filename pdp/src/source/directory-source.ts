// Owns a directory as a source of bundles: what it holds is known by names, sizes and times, looked at again and again,
// which works on every file system. Never reads a file's content to find out whether it changed.
import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openDirectory } from '../bundle/directory.ts'
import type { BundleSource } from './source.ts'

/** A save is seen within two of these and one pause, well inside the promised two seconds. */
const INTERVAL_MS = 250
/** Whoever writes several files is waited for, at most so often. */
const SETTLE_MS = 50
const SETTLES_MAX = 10

export function directorySource(directory: string): BundleSource {
  let last = ''
  return {
    name: resolve(directory),
    intervalMs: INTERVAL_MS,
    async look() {
      let revision = await fingerprint(directory)
      for (let turn = 0; revision !== last && turn < SETTLES_MAX; turn += 1) {
        last = revision
        await sleep(SETTLE_MS)
        revision = await fingerprint(directory)
      }
      return {
        revision,
        commit: null,
        open: () => openDirectory(directory),
        signatureProblem: async () =>
          'a directory cannot be signed: name the repository, as git+https://… or git+file:///…',
      }
    },
  }
}

/** Of everything that may be a part of the bundle. */
async function fingerprint(directory: string): Promise<string> {
  const hash = createHash('sha256')
  const add = async (path: string): Promise<void> => {
    const found = await stat(join(directory, path)).catch(() => undefined)
    if (found === undefined) return void hash.update(`${path}\0-\n`)
    const { size, mtimeMs, ctimeMs, ino } = found
    if (!found.isDirectory()) {
      return void hash.update(`${path}\0${size} ${mtimeMs} ${ctimeMs} ${ino}\n`)
    }
    hash.update(`${path}/\n`)
    const names = await readdir(join(directory, path)).catch(() => [])
    for (const name of names.toSorted(compare)) await add(`${path}/${name}`)
  }
  for (const part of PARTS) await add(part)
  return hash.digest('hex')
}

const PARTS = ['gateway.yaml', 'servers', 'cedar', 'schema', 'entities']

function compare(left: string, right: string): number {
  return left < right ? -1 : Number(left > right)
}
