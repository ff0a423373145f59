// Owns what is noticed of an answer as it passes: its length, whether it was an error, and whether
// the server says that its tools changed. Never holds an answer back.
import { ANSWER_BUFFER_BYTES_MAX } from '../limits.ts'

/** Whether one JSON-RPC response is an error, or a result with `isError`. */
export function isErrorMessage(message: unknown): boolean {
  if (typeof message !== 'object' || message === null) return false
  const { error, result } = message as { error?: unknown; result?: { isError?: unknown } | null }
  return error !== undefined || result?.isError === true
}

/** The same of its text; false for text that is not JSON. */
export function isErrorText(text: string): boolean {
  if (!text.includes('"error"') && !text.includes('"isError"')) return false
  try {
    return isErrorMessage(JSON.parse(text))
  } catch {
    return false
  }
}

export type Watch = {
  readonly see: (chunk: Buffer) => void
  readonly bytes: () => number
  /**
   * Reads the last event of what was seen; false when that is longer than ANSWER_BUFFER_BYTES_MAX.
   */
  readonly isError: () => boolean
}

/**
 * Watches an event stream go by, keeping only its end: the response is the last event of a POST's
 * stream.
 */
export function watchEvents(): Watch {
  let bytes = 0
  let tail: Buffer[] = []
  let tailBytes = 0
  return {
    see(chunk) {
      bytes += chunk.length
      tail.push(chunk)
      tailBytes += chunk.length
      while (tailBytes > ANSWER_BUFFER_BYTES_MAX && tail[0])
        tailBytes -= (tail.shift() as Buffer).length
    },
    bytes: () => bytes,
    isError() {
      const text = Buffer.concat(tail).toString('utf8').trimEnd()
      const data = /(?:^|[\r\n])data: ?([^\r\n]*)$/.exec(text)?.[1]
      tail = []
      return data !== undefined && isErrorText(data)
    },
  }
}

export const TOOLS_CHANGED = 'notifications/tools/list_changed'

/** Some writers of JSON escape the slash. Whoever escapes more is heard at the next look. */
const SAYS_TOOLS_CHANGED = /notifications\\?\/tools\\?\/list_changed/
const SAYING_LENGTH_MAX = TOOLS_CHANGED.length + 2

/**
 * Whether a chunk of a stream, with the end of the one before, holds the notification. Reads no
 * events: the same text in an answer is taken for it, and costs one look.
 */
export function hearsToolsChanged(): (chunk: Buffer) => boolean {
  let tail = ''
  return (chunk) => {
    const text = tail + chunk.toString('latin1')
    const match = SAYS_TOOLS_CHANGED.exec(text)
    const from = match === null ? 0 : match.index + match[0].length
    tail = text.slice(Math.max(from, text.length - SAYING_LENGTH_MAX + 1))
    return match !== null
  }
}
