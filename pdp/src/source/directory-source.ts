// Owns a directory as a source of bundles: what it holds is known by names, sizes and times, looked at again and again,
// which works on every file system. Never reads a file's content to find out whether it changed.
import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openDirectory } from '../bundle/directory.ts'
import type { BundleSource } from './source.ts'
import { SourceError } from './source.ts'

/** A save is seen within one of these and one pause. A directory that takes long to look at is looked at less often. */
const INTERVAL_MS_MIN = 100
const INTERVAL_MS_MAX = 1_000
const SHARE = 25
/** Whoever writes several files is waited for, at most so often. */
const SETTLE_MS = 50
const SETTLES_MAX = 10

export function directorySource(directory: string): BundleSource {
  let last = ''
  let tookMs = 0
  return {
    name: resolve(directory),
    get intervalMs() {
      return Math.min(INTERVAL_MS_MAX, Math.max(INTERVAL_MS_MIN, tookMs * SHARE))
    },
    async look() {
      const began = performance.now()
      let revision = await fingerprint(directory)
      tookMs = performance.now() - began
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

/** Of every file that may be a part of the bundle, as deep as a bundle goes: a link that leads elsewhere is not followed. */
async function fingerprint(directory: string): Promise<string> {
  const hash = createHash('sha256')
  let left = FILES_MAX
  const add = async (path: string): Promise<void> => {
    const found = await stat(join(directory, path)).catch(() => undefined)
    const { size = -1, mtimeMs = 0, ctimeMs = 0, ino = 0 } = found ?? {}
    hash.update(`${path}\0${size} ${mtimeMs} ${ctimeMs} ${ino}\n`)
  }
  const namesIn = async (folder: string): Promise<string[]> => {
    const names = await readdir(join(directory, folder)).catch(() => [])
    left -= names.length
    if (left < 0) throw new SourceError(`${directory} holds more than ${FILES_MAX} files`)
    return names.toSorted(compare).map((name) => `${folder}/${name}`)
  }
  await add('gateway.yaml')
  for (const folder of FOLDERS) for (const path of await namesIn(folder)) await add(path)
  for (const server of await namesIn('servers')) {
    for (const path of [server, ...(await namesIn(server))]) await add(path)
  }
  return hash.digest('hex')
}

const FOLDERS = ['cedar', 'schema', 'entities']
/** More than any bundle holds, files that are none of it included. */
const FILES_MAX = 20_000

function compare(left: string, right: string): number {
  return left < right ? -1 : Number(left > right)
}
