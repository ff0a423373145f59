// Owns masking all that comes back of what was sent with credentials, and telling that there was something to mask. Never
// tells what.
import { ECHOES_MAX, SERVER_MESSAGE_BYTES_MAX } from '../limits.ts'
import { unusable } from '../passage/server-message.ts'
import { createSseReader, type SseEvent, withData } from '../sse.ts'
import { type Masker, withMasks } from './masker.ts'
import { maskMessage } from './message.ts'

/** Each throws upstream_invalid where a credential cannot be masked. */
export type AnswerMask = {
  /** One JSON text. */
  readonly message: (text: string) => string
  readonly event: (event: SseEvent) => SseEvent
  /** Whether a header shows one. */
  readonly isIn: (header: string) => boolean
}

/** `maskers` is asked for every piece: more may have been sent since. `onEchoed` is called for every piece that held one. */
export function answerMask(maskers: () => readonly Masker[], onEchoed: () => void): AnswerMask {
  const message = (text: string, masker: Masker): string => {
    if (!masker.isIn(text)) return text
    onEchoed()
    return maskMessage(masker, text)
  }
  const event = (came: SseEvent, masker: Masker): SseEvent => {
    if (!isInEvent(masker, came)) return came
    onEchoed()
    return maskEvent(masker, came)
  }
  return {
    message: (text) => maskers().reduce(message, text),
    event: (came) => maskers().reduce(event, came),
    isIn(header) {
      const isHeld = maskers().some((masker) => masker.isIn(header))
      if (isHeld) onEchoed()
      return isHeld
    },
  }
}

/** What is wrapped over several lines of its data is in these alone. */
function isInEvent(masker: Masker, { raw, data }: SseEvent): boolean {
  return masker.isIn(raw) || (data?.includes('\n') === true && masker.isIn(data))
}

function maskEvent(masker: Masker, event: SseEvent): SseEvent {
  if (event.id !== undefined && masker.isIn(event.id))
    throw unusable('the id of an event holds its credential')
  const data = event.data === undefined ? undefined : maskMessage(masker, event.data)
  const spelled = withData(event, data)
  const ranges = masker.rangesIn(spelled)
  if (ranges.length > ECHOES_MAX) throw unusable('an event holds its credential too often')
  const [read] = createSseReader(SERVER_MESSAGE_BYTES_MAX).push(withMasks(spelled, ranges))
  if (read === undefined || isInEvent(masker, read))
    throw unusable('an event holds its credential where it cannot be masked')
  return read
}
