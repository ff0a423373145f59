// Owns the promise that one process at a time uses a directory, or changes a file. Never waits.
import { randomUUID } from 'node:crypto'
import { link, readFile, unlink, writeFile } from 'node:fs/promises'

export type Lock = { readonly release: () => Promise<void> }

/**
 * Takes the lock at `path`, also from a process that is gone. Throws when its holder runs, or
 * cannot be told apart from a process that does. Holds between processes of one machine and one
 * process-id space, not across a shared mount.
 */
export async function holdLock(path: string): Promise<Lock> {
  const own = `${path}.${randomUUID()}`
  await writeFile(own, `${process.pid} ${await startOf(process.pid)}\n`, {
    flag: 'wx',
    mode: 0o600,
  })
  try {
    if (!(await takes(own, path))) await takeOver(own, path)
  } finally {
    await unlink(own)
  }
  return { release: () => unlink(path).catch(ignoreAbsent) }
}

/** A hard link is made by exactly one of all who try. */
async function takes(own: string, path: string): Promise<boolean> {
  try {
    await link(own, path)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

/**
 * INVARIANT: a lock is removed by its holder, or by whoever holds the takeover beside it and has
 * then read that the holder is gone. Order: a crash in here leaves the takeover behind, and whoever
 * comes next is told which file to remove.
 */
async function takeOver(own: string, path: string): Promise<void> {
  await assertStale(path)
  const takeover = `${path}.takeover`
  if (!(await takes(own, takeover))) {
    throw new Error(`another process is just taking it; if none is, remove ${takeover}`)
  }
  try {
    await assertStale(path)
    await unlink(path).catch(ignoreAbsent)
    if (!(await takes(own, path))) throw new Error('another process has just taken it')
  } finally {
    await unlink(takeover)
  }
}

async function assertStale(path: string): Promise<void> {
  const holder = /^(\d+) (\S*)\n$/.exec((await readFile(path, 'utf8').catch(ignoreAbsent)) ?? '')
  const pid = Number(holder?.[1])
  if (holder !== null && isRunning(pid) && (await startOf(pid)) === holder[2]) {
    throw new Error(`process ${pid} is using it; let it end, or stop it`)
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

/**
 * When a process began, so that a number used again is not taken for the one that held the lock; ''
 * where unknown.
 */
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
