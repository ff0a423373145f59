// Server-sent events: whatever the line ends and however the bytes arrive, the same events, and not
// a byte of them lost.
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { array, assert, nat, property } from 'fast-check'
import { expect, test } from 'vitest'
import { createSseReader, withData } from './sse.ts'

const STREAM = [
  ': a comment\n\n',
  'data: one\n\n',
  'id: 5\r\nevent: message\r\ndata:two\r\n\r\n',
  'data: a\rdata: b\r\r',
  'retry: 10\nid: \ndata: \n\n',
  'event: other\ndata: {"ü":"😀"}\n\n',
  '\n\n\r\n',
  ': the end\n\n',
].join('')

test('fields are read as the standard says', () => {
  const events = createSseReader(1_000).push(Buffer.from(STREAM))
  expect(events.map(({ type, data }) => [type, data])).toEqual([
    ['message', undefined],
    ['message', 'one'],
    ['message', 'two'],
    ['message', 'a\nb'],
    ['message', ''],
    ['other', '{"ü":"😀"}'],
    ['message', undefined],
  ])
})

test('however the bytes are cut, the data is the same and the raw events are the stream', () => {
  const bytes = Buffer.from(`\uFEFF${STREAM}`)
  const said = createSseReader(1_000)
    .push(bytes)
    .flatMap(({ data }) => data ?? [])
  assert(
    property(array(nat(bytes.length)), (cuts) => {
      const reader = createSseReader(1_000)
      const places = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
      const events = places.flatMap((place, index) =>
        reader.push(bytes.subarray(place, places[index + 1] ?? bytes.length)),
      )
      expect(Buffer.concat(events.map(({ raw }) => raw))).toEqual(bytes)
      expect(events.flatMap(({ data }) => data ?? [])).toEqual(said)
    }),
    { examples: [[Array.from({ length: bytes.length }, (_, place) => [place, place]).flat()]] },
  )
})

test('an event beyond the limit is an error, not memory', () => {
  const reader = createSseReader(100)
  reader.push(Buffer.alloc(100, 0x61))
  expect(() => reader.push(Buffer.from('a'))).toThrow(RangeError)
})

test('other data leaves id, type and retry as they were', () => {
  const [event] = createSseReader(1_000).push(Buffer.from('id: 7\nretry: 3\ndata: a\ndata: b\n\n'))
  expect(event && withData(event, '{}').toString()).toBe('id: 7\nretry: 3\ndata: {}\n\n')
})

test.each([
  { name: 'blank lines', of: '\n' },
  { name: 'blank lines, CR LF', of: '\r\n' },
  { name: 'empty comments', of: ':\n\n' },
  { name: 'empty data', of: 'data\n\n' },
])('a stream of $name does not keep anybody busy: 1 MiB takes no 5 s', ({ of }) => {
  const chunk = Buffer.from(of.repeat((64 * 1024) / of.length))
  const reader = createSseReader(1_000_000)
  const before = performance.now()
  for (let chunks = 0; chunks < 16; chunks += 1) reader.push(chunk)
  expect(performance.now() - before).toBeLessThan(5_000)
})

test.each([
  { name: 'read to its end', text: 'data: one\n\n', begun: false },
  { name: 'that ends within an event', text: 'data: one\n\ndata: tw', begun: true },
])('a chunk $name is not kept in memory', async ({ text, begun }) => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const reader = createSseReader(1_000)
  const pushed = (chunk: Buffer) => {
    reader.push(chunk)
    return new WeakRef(chunk.buffer)
  }
  const memory = pushed(Buffer.from(new TextEncoder().encode(text).buffer))
  await sleep(1)
  collect()
  expect(memory.deref()).toBeUndefined()
  expect(reader.push(Buffer.from('o\n\n')).map(({ data }) => data)).toEqual(
    begun ? ['two'] : [undefined],
  )
})
