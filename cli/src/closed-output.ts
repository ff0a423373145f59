// Owns what happens when what a command prints cannot be written: nobody reads on, as after `| head`, or a disk is full.
import { EXIT } from '../../schemas/codes.ts'

/** 128 + SIGPIPE: what a shell says of tools that the signal ends. */
const BY_SIGPIPE = 141

/**
 * Without a reader of stdout the process ends without a word, and a service in order, as if it were told to stop. Messages on
 * stderr may be lost.
 */
export function endWithoutReader(): void {
  process.stderr.on('error', () => {})
  process.stdout.once('error', ({ code }: NodeJS.ErrnoException) => {
    process.stdout.on('error', () => {})
    if (code !== 'EPIPE')
      process.stderr.write(`cedargate: its output cannot be written: ${code ?? 'unknown'}\n`)
    if (process.emit('SIGTERM', 'SIGTERM')) return
    process.exit(code === 'EPIPE' ? BY_SIGPIPE : EXIT.internal)
  })
}
