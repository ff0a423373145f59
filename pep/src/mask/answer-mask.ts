// Owns masking all that comes back of what was sent with one credential, and telling that there was something to mask.
// Never tells what.
import type { Credential } from '../credential.ts'
import { SERVER_MESSAGE_BYTES_MAX } from '../limits.ts'
import { unusable } from '../passage/server-message.ts'
import { createSseReader, type SseEvent, withData } from '../sse.ts'
import { maskMessage } from './message.ts'

/** Each throws upstream_invalid where the credential cannot be masked. */
export type AnswerMask = {
  /** One JSON text. */
  readonly message: (text: string) => string
  readonly event: (event: SseEvent) => SseEvent
  /** Whether a header shows it. */
  readonly isIn: (header: string) => boolean
}

/** Undefined where there is nothing to mask. `onEchoed` is called for every piece that held it. */
export function answerMask(
  credential: Credential | undefined,
  onEchoed: () => void,
): AnswerMask | undefined {
  if (credential === undefined) return undefined
  const masker = credential.masker()
  const message = (text: string): string => {
    if (!masker.isIn(text)) return text
    onEchoed()
    return maskMessage(masker, text)
  }
  return {
    message,
    event(event) {
      if (!masker.isIn(event.raw.toString('utf8'))) return event
      onEchoed()
      if (event.id !== undefined && masker.isIn(event.id))
        throw unusable('the id of an event holds its credential')
      const data = event.data === undefined ? undefined : maskMessage(masker, event.data)
      const masked = masker.mask(withData(event, data).toString('utf8'))
      const [read] = createSseReader(SERVER_MESSAGE_BYTES_MAX).push(Buffer.from(masked))
      if (read === undefined || masker.isIn(masked))
        throw unusable('an event holds its credential where it cannot be masked')
      return read
    },
    isIn(header) {
      const isHeld = masker.isIn(header)
      if (isHeld) onEchoed()
      return isHeld
    },
  }
}
