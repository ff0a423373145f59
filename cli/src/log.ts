// Owns writing log lines to standard error. A line that cannot be written is lost: a full disk must not hold up a
// decision or a stop (pino's own destination tries again for ever).
import { writeSync } from 'node:fs'

export const stderrLines = {
  write(line: string): void {
    try {
      writeSync(2, line)
    } catch {
      // There is nowhere left to say so.
    }
  },
}
