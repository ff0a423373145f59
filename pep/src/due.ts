// Owns one thing that is due at some time: asked for again, the earlier time counts. Knows nothing of
// what it is.
import type { Monotonic } from './ports.ts'

export type Due = {
  /** Runs it in `ms`, or sooner where sooner was asked for. Keeps no process alive. */
  readonly within: (ms: number) => void
  readonly clear: () => void
}

export function createDue(monotonic: Monotonic, run: () => void): Due {
  let timer: NodeJS.Timeout | undefined
  let at = 0
  const clear = (): void => {
    clearTimeout(timer)
    timer = undefined
  }
  return {
    clear,
    within(ms) {
      const asked = monotonic() + ms
      if (timer !== undefined && at <= asked) return
      clear()
      at = asked
      timer = setTimeout(() => {
        timer = undefined
        run()
      }, ms).unref()
    },
  }
}
