// Owns the promise that one process at a time uses a directory. PGlite does not lock, and two would corrupt it.
import { randomUUID } from 'node:crypto'
import { link, readFile, rename, unlink, writeFile } from 'node:fs/promises'

export type Lock = { readonly release: () => Promise<void> }

/**
 * Takes the lock at `path`, also from a process that is gone. Throws when its holder runs, or cannot be told apart from
 * a process that does. Holds between processes of one machine and one process-id space, not across a shared mount.
 */
export async function holdLock(path: string): Promise<Lock> {
  const own = `${path}.${randomUUID()}`
  const text = `${process.pid} ${await startOf(process.pid)}\n`
  await writeFile(own, text, { flag: 'wx', mode: 0o600 })
  try {
    if (!(await takes(own, path))) {
      await removeStale(path)
      if (!(await takes(own, path))) throw new Error('another cedargate has just started on it')
    }
  } finally {
    await unlink(own)
  }
  return { release: () => unlink(path).catch(ignoreAbsent) }
}

/** A hard link is created by exactly one of all who try. */
async function takes(own: string, path: string): Promise<boolean> {
  try {
    await link(own, path)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

async function removeStale(path: string): Promise<void> {
  const seen = await readFile(path, 'utf8').catch(ignoreAbsent)
  if (seen === undefined) return
  const holder = /^(\d+) (\S*)\n$/.exec(seen)
  const pid = Number(holder?.[1])
  if (holder !== null && isRunning(pid) && (await startOf(pid)) === holder[2]) {
    throw new Error(`process ${pid} is using it; stop that one first`)
  }
  await setAside(path, seen)
}

/** Order: between reading and moving, another may have taken the stale lock; then what was moved is theirs, and goes back. */
async function setAside(path: string, seen: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`
  const moved = await rename(path, aside).then(() => true, ignoreAbsent)
  if (moved === undefined) return
  if ((await readFile(aside, 'utf8')) !== seen) await link(aside, path)
  await unlink(aside)
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

/** When a process began, so that a number used again is not taken for the one that held the lock; '' where unknown. */
async function startOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
}

function ignoreAbsent(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error
  return undefined
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code
}
