// Owns looking at a process under test from outside: what it started, and where it listens. Linux only: it reads /proc.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** Whether there is anything to look at. */
export const canLook = process.platform === 'linux'

/** Ids of everything `pid` started, and what that started. */
export function descendantsOf(pid: number): number[] {
  const parents = processIds().map((id) => [id, parentAndState(id)?.parent] as const)
  const below = (parent: number): number[] =>
    parents.filter(([, of]) => of === parent).flatMap(([id]) => [id, ...below(id)])
  return below(pid)
}

export function isAlive(pid: number): boolean {
  const state = parentAndState(pid)?.state
  return state !== undefined && state !== 'Z'
}

/** Local addresses, in the kernel's hexadecimal, of every TCP socket these processes listen on. */
export function listeningAddresses(pids: readonly number[]): string[] {
  const own = new Set(pids.flatMap(socketsOf))
  return ['tcp', 'tcp6'].flatMap((table) => {
    const [, ...lines] = readFileSync(`/proc/net/${table}`, 'utf8').trimEnd().split('\n')
    return lines.flatMap((line) => {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/)
      return state === LISTEN && own.has(inode) ? [local.split(':')[0] ?? ''] : []
    })
  })
}

/** 127.0.0.1, and ::1, as /proc/net writes them on a little-endian machine. */
export const LOOPBACK: ReadonlySet<string> = new Set([
  '0100007F',
  '00000000000000000000000001000000',
])

const LISTEN = '0A'

function processIds(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

/** Undefined for a process that is gone. */
function parentAndState(pid: number): { parent: number; state: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state = '', parent = ''] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return { parent: Number(parent), state }
  } catch {
    return undefined // It ended between two looks.
  }
}

/** Inodes of the sockets a process has open. */
function socketsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/${fd}`)
      return /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []
    } catch {
      return [] // Closed between two looks.
    }
  })
}
