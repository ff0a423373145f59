// Owns how much memory a process holds, as the kernel counts it. Linux only: it reads /proc.
import { readFileSync } from 'node:fs'

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
