// Owns reading server-sent events out of bytes, keeping each event's own bytes so that it can pass
// unchanged. Never buffers more than one event.

export type SseEvent = {
  /** The event as it came, its blank line included. */
  readonly raw: Buffer
  /** What `data:` lines say, joined by newlines; undefined without one. */
  readonly data: string | undefined
  /** `event:`, or `message`. */
  readonly type: string
  /** `id:`, also an empty one; undefined without one. */
  readonly id: string | undefined
  /** Whether it has lines that are nothing to an event stream. */
  readonly hasOther: boolean
}

export type SseReader = {
  /** The events that `chunk` completes. Throws RangeError when one grows beyond the limit. */
  readonly push: (chunk: Uint8Array) => SseEvent[]
}

/**
 * A blank line, and all that follow it: a stream of nothing else is one event. CR LF is one line end; where a chunk ends
 * between the two, an empty event follows: it says nothing.
 */
const BLANK_LINE = /(?:\r\n|\n|\r(?!\n)){2,}/g
const BLANK_LINE_LENGTH_MAX = 4

/**
 * Events as browsers and SDKs read them (WHATWG: CR, LF or CR LF; a leading byte order mark). The
 * `raw` of all events in order is the stream itself, but for an unfinished event at its end, which
 * every client drops too.
 */
export function createSseReader(eventBytesMax: number): SseReader {
  let parts: Buffer[] = []
  let bytes = 0
  let tail = ''
  return {
    push(chunk) {
      const buffer = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      const text = tail + buffer.toString('latin1')
      const events: SseEvent[] = []
      let from = 0
      for (const { index, 0: blank } of text.matchAll(BLANK_LINE)) {
        const end = index + blank.length - tail.length
        const last = buffer.subarray(from, end)
        events.push(readEvent(parts.length === 0 ? last : Buffer.concat([...parts, last])))
        parts = []
        bytes = 0
        from = end
      }
      // A part keeps the whole chunk in memory that it is of: nothing is kept of one that was read to its end.
      if (from < buffer.length) parts.push(buffer.subarray(from))
      bytes += buffer.length - from
      if (bytes > eventBytesMax) throw new RangeError('an event is too long')
      const begun = from === 0 ? 0 : from + tail.length
      tail = text.slice(Math.max(begun, text.length - BLANK_LINE_LENGTH_MAX + 1))
      return events
    },
  }
}

/**
 * The same event saying `data` instead; id, type, retry and comments stay, lines that are nothing
 * to an event stream go.
 */
export function withData({ raw }: SseEvent, data: string | undefined): Buffer {
  const kept = linesOf(raw).filter((line) => line !== '' && KEPT.has(fieldOf(line)[0]))
  const said = data === undefined ? [] : data.split('\n').map((line) => `data: ${line}`)
  return Buffer.from([...kept, ...said, '', ''].join('\n'))
}

/** Fields of an event beside its data; '' is a comment. */
const KEPT: ReadonlySet<string> = new Set(['event', 'id', 'retry', ''])

function readEvent(raw: Buffer): SseEvent {
  const data: string[] = []
  let type = ''
  let id: string | undefined
  let hasOther = false
  if (isComment(raw)) return { raw, type: 'message', id, hasOther, data: undefined }
  for (const line of linesOf(raw)) {
    const [field, value] = fieldOf(line)
    if (field === 'data') data.push(value)
    // The last one counts, also an empty one (WHATWG).
    if (field === 'event') type = value
    if (field === 'id') id = value
    hasOther ||= line !== '' && field !== 'data' && !KEPT.has(field)
  }
  return {
    raw,
    type: type === '' ? 'message' : type,
    id,
    hasOther,
    data: data.length === 0 ? undefined : data.join('\n'),
  }
}

const [LF, CR, COLON] = [0x0a, 0x0d, 0x3a]

/** Whether it is one comment, or nothing: servers send these by the thousand, some to keep us busy. */
function isComment(raw: Buffer): boolean {
  let end = 0
  if (raw[0] === COLON) while (raw[end] !== LF && raw[end] !== CR) end += 1
  while (raw[end] === LF || raw[end] === CR) end += 1
  return end === raw.length
}

function linesOf(raw: Buffer): string[] {
  return raw
    .toString('utf8')
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\n|\r/)
}

function fieldOf(line: string): [string, string] {
  const colon = line.indexOf(':')
  if (colon < 0) return [line, '']
  return [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')]
}
