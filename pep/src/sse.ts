// Owns reading server-sent events out of bytes, keeping each event's own bytes so that it can pass
// unchanged. Never buffers more than one event.
import { isUtf8 } from 'node:buffer'
import { createGathered, type Gathered } from './gathered.ts'

export type SseEvent = {
  /** The event as it came, its blank line included. */
  readonly raw: Buffer
  /** What `data:` lines say, joined by newlines; undefined without one. */
  readonly data: string | undefined
  /** `event:`, or `message`. */
  readonly type: string
  /** `id:`, also an empty one; undefined without one. */
  readonly id: string | undefined
  /** Whether it has lines that are nothing to an event stream, or characters that some readers end a line at. */
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
  const begun = createGathered()
  let tail = ''
  return {
    push(chunk) {
      const buffer = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      const text = tail + buffer.toString('latin1')
      const events: SseEvent[] = []
      let from = 0
      for (const { index, 0: blank } of text.matchAll(BLANK_LINE)) {
        const end = index + blank.length - tail.length
        events.push(readEvent(joined(begun, buffer.subarray(from, end))))
        from = end
      }
      // What is kept is a copy: a part would keep the whole chunk in memory that it is of.
      if (from < buffer.length) begun.add(buffer.subarray(from))
      if (begun.length() > eventBytesMax) throw new RangeError('an event is too long')
      const seen = from === 0 ? 0 : from + tail.length
      tail = text.slice(Math.max(seen, text.length - BLANK_LINE_LENGTH_MAX + 1))
      return events
    },
  }
}

function joined(begun: Gathered, last: Buffer): Buffer {
  if (begun.length() === 0) return last
  begun.add(last)
  return begun.take()
}

/**
 * The same event saying `data` instead, a JSON text; id, type, retry and comments stay, lines that are nothing
 * to an event stream go, and those that another reader would take for several.
 */
export function withData({ raw }: SseEvent, data: string | undefined): Buffer {
  const kept = linesOf(raw).filter((line) => {
    return line !== '' && KEPT.has(fieldOf(line)[0]) && isPlain(Buffer.from(line))
  })
  const said =
    data === undefined
      ? []
      : oneReading(data)
          .split('\n')
          .map((line) => `data: ${line}`)
  return Buffer.from([...kept, ...said, '', ''].join('\n'))
}

/** A JSON text without what some readers take for the end of a line; the value is the same. */
export function oneReading(json: string): string {
  return json.replaceAll(/[\u0085\u2028\u2029\ufeff]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

/** The same of bytes that hold whole JSON texts, such as an event of ours. */
export function oneReadingOf(bytes: Buffer): Buffer {
  return isPlain(bytes) ? bytes : Buffer.from(oneReading(bytes.toString('utf8')))
}

/** Fields of an event beside its data; '' is a comment. */
const KEPT: ReadonlySet<string> = new Set(['event', 'id', 'retry', ''])

function readEvent(raw: Buffer): SseEvent {
  const data: string[] = []
  let type = ''
  let id: string | undefined
  let hasOther = !isPlain(raw)
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

const [TAB, LF, CR, COLON] = [0x09, 0x0a, 0x0d, 0x3a]

/**
 * Whether every reader sees the same lines: UTF-8 without control characters, without line ends that only some know
 * (U+0085, U+2028, U+2029), without a byte order mark.
 */
function isPlain(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0
    if (byte < 0x20 && byte !== LF && byte !== CR && byte !== TAB) return false
    if (byte === 0xc2 && bytes[at + 1] === 0x85) return false
    if (byte === 0xe2 && bytes[at + 1] === 0x80 && (bytes[at + 2] ?? 0) >> 1 === 0x54) return false
    if (byte === 0xef && bytes[at + 1] === 0xbb && bytes[at + 2] === 0xbf) return false
  }
  return isUtf8(bytes)
}

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
