// Owns looking at a process from outside: what it holds and uses, as the kernel counts it, and which it is. Linux only:
// it reads /proc.
import { readdirSync, readFileSync } from 'node:fs'

export type Memory = { readonly rssMiB: number; readonly peakMiB: number }

/** `peakMiB` is the most it ever held. Throws when the process is gone. */
export function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const kibibytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1])
  return { rssMiB: kibibytes('VmRSS') / 1024, peakMiB: kibibytes('VmHWM') / 1024 }
}

/** CPU seconds it has used, in user and in system. */
export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

const TICKS_PER_SECOND = 100

/** The most that `rssMiB` was between now and the call of what it answers, looked at twice a second. */
export function watchMemory(pid: number): () => number {
  let most = memoryOf(pid).rssMiB
  const timer = setInterval(() => {
    try {
      most = Math.max(most, memoryOf(pid).rssMiB)
    } catch {
      clearInterval(timer) // It ended: whoever speaks to it will say so.
    }
  }, 500)
  return () => {
    clearInterval(timer)
    return most
  }
}

/** The process of this title; in a sandbox it knows itself by another id. Undefined where there is none. */
export function processOf(title: string): number | undefined {
  const ids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return ids.map(Number).find((pid) => commandLineOf(pid).startsWith(title))
}

function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return '' // It ended between two looks.
  }
}
