// Owns what a sandbox of bubblewrap is made of: the arguments, from what a server may see and write. Looks at the disk for
// what is there; starts nothing.
import { realpath, stat } from 'node:fs/promises'
import { relative, sep } from 'node:path'
import type { Command } from './child.ts'

/** What the gateway keeps for itself; a path that is not there is passed over. Absolute. */
export type Kept = {
  /** Of it a server sees only what its own declaration names: `cwd`, `args`, `writable`. */
  readonly home: string
  /** Directories and files that no server sees, named or not. */
  readonly secrets: readonly string[]
}

/**
 * Own processes, IPC and host name, and nobody gains privileges; the network as it is. Of the file system everything
 * with the rights of the PEP's own user, but for what is kept, for devices, and for what `writable` leaves out. Of a root
 * user's powers only those over files stay, and the kernel's settings can be read alone.
 */
export async function bubblewrapArguments(
  { command, args, cwd, writable }: Command,
  kept: Kept,
  isRoot: boolean,
): Promise<string[]> {
  const mayWrite = await allThere(writable ?? [])
  const named = await allThere([...(cwd === undefined ? [] : [cwd]), ...pathsIn(args), ...mayWrite])
  const bind = (path: string) =>
    writable === null || isWithin(path, mayWrite) ? '--bind' : '--ro-bind'
  const root = writable === null ? '--bind' : '--ro-bind'
  // biome-ignore format: an option a line
  return [
    '--die-with-parent', '--unshare-pid', '--unshare-ipc', '--unshare-uts',
    ...(isRoot ? ['--cap-drop', 'ALL'] : []),
    ...(isRoot ? KEPT_CAPABILITIES.flatMap((name) => ['--cap-add', name]) : []),
    root, '/', '/',
    '--dev', '/dev', '--proc', '/proc',
    ...KERNEL.flatMap((path) => ['--ro-bind-try', path, path]),
    ...mayWrite.flatMap((path) => ['--bind', path, path]),
    ...(await hiding(kept, named, bind)),
    ...(cwd === undefined ? [] : ['--chdir', cwd]),
    '--', command, ...args,
  ]
}

/** Order: a later mount covers an earlier one. What is named of the home comes back, and of that no secret. */
async function hiding(
  kept: Kept,
  named: readonly string[],
  bind: (path: string) => string,
): Promise<string[]> {
  const home = await realOf(kept.home)
  const isOfHome = (path: string) => home !== undefined && isWithin(path, [home])
  const secrets = await allThere(kept.secrets)
  const shown = named.filter((path) => isOfHome(path) && path !== home && !isWithin(path, secrets))
  const hidden = secrets.filter((path) => !isOfHome(path) || isWithin(path, shown))
  const covers = hidden.map(async (path) =>
    (await stat(path)).isDirectory() ? ['--tmpfs', path] : ['--ro-bind', '/dev/null', path],
  )
  return [
    ...(home === undefined ? [] : ['--tmpfs', home]),
    ...shown.flatMap((path) => [bind(path), path, path]),
    ...(await Promise.all(covers)).flat(),
    ...(home === undefined ? [] : ['--remount-ro', home]),
  ]
}

/** Where root could change the machine for everybody. */
const KERNEL = ['/proc/sys', '/proc/sysrq-trigger', '/sys'] as const
/** What root needs to get at files as it does without a sandbox. */
const KEPT_CAPABILITIES = ['CAP_DAC_OVERRIDE', 'CAP_CHOWN', 'CAP_FOWNER'] as const

/** Arguments that are absolute paths, and options that have one: `--root=/srv`. */
function pathsIn(args: readonly string[]): string[] {
  return args.flatMap((arg) => /^(?:-[^=]*=)?(\/.*)$/s.exec(arg)?.slice(1, 2) ?? [])
}

/** Links resolved: a mount goes where the path leads. */
async function realOf(path: string): Promise<string | undefined> {
  return realpath(path).catch(() => undefined) // It is not there.
}

/** Outermost first. */
async function allThere(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(paths.map(realOf))
  const there = new Set(found.filter((path) => path !== undefined))
  return [...there].toSorted((a, b) => a.length - b.length)
}

/** Whether `path` is one of `directories` or below it. */
function isWithin(path: string, directories: readonly string[]): boolean {
  return directories.some((directory) => {
    const way = relative(directory, path)
    return way !== '..' && !way.startsWith(`..${sep}`)
  })
}
