// Owns watching what the processes of this machine are started with, for a search for secrets. Linux only: it reads /proc.
import { readdirSync, readFileSync } from 'node:fs'

export type ProcessWatch = {
  /** What was seen so far: of each process its command line, and what it was given as environment. */
  readonly seen: () => Map<string, Buffer>
  readonly stop: () => void
}

const LOOK_MS = 40

/** Looks again and again. `isMeant`: whose environment may hold a secret, by its command line; it is left out. */
export function watchProcesses(isMeant: (words: string) => boolean): ProcessWatch {
  const seen = new Map<string, Buffer>()
  const look = (): void => {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      const words = read(`/proc/${pid}/cmdline`)
      if (words === undefined || words.length === 0) continue
      seen.set(`words of ${pid}: ${words.toString().slice(0, 200)}`, words)
      const given = isMeant(words.toString()) ? undefined : read(`/proc/${pid}/environ`)
      if (given !== undefined) seen.set(`environment of ${pid}: ${words.toString().slice(0, 200)}`, given)
    }
  } // biome-ignore format: long
  const timer = setInterval(look, LOOK_MS)
  return {
    seen() {
      look()
      return seen
    },
    stop: () => clearInterval(timer),
  }
}

/** Undefined for a process that is gone. */
function read(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch {
    return undefined
  }
}
