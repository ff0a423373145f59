// Owns what stands in for the suite where it falls short: it cannot send a token. Adds that one header, and nothing
// else.
import type { HeaderLine } from './recorder.ts'

/** For a recorder's `amend`: the header that the suite has no option for. Throws where there is one already. */
export function withToken(token: () => string): (lines: readonly HeaderLine[]) => HeaderLine[] {
  return (lines) => {
    if (lines.some(([name]) => name.toLowerCase() === 'authorization'))
      throw new Error('the suite sends a token of its own now: the shim has had its day')
    return [...lines, ['Authorization', `Bearer ${token()}`]]
  }
}
