// Masking one event of a server, whichever of its lines shows a secret: data, comments, type, and how often.
import { expect, test } from 'vitest'
import { ECHOES_MAX, SERVER_MESSAGE_BYTES_MAX } from '../limits.ts'
import { createSseReader, type SseEvent } from '../sse.ts'
import { answerMask } from './answer-mask.ts'
import { createMasker, MASK } from './masker.ts'

const SECRET = 'aZ3$kq9w'
const ESCAPED = SECRET.replace('a', '%61')
const maskers = [createMasker([SECRET])]
let echoed = 0
const mask = answerMask(
  () => maskers,
  () => (echoed += 1),
)
const eventOf = (text: string): SseEvent => {
  const [event] = createSseReader(SERVER_MESSAGE_BYTES_MAX).push(Buffer.from(`${text}\n\n`))
  if (event === undefined) throw new Error('no event')
  return event
}
const REFUSED = expect.objectContaining({ code: 'upstream_invalid' })

test.each([
  { name: 'a comment', line: (times: number) => `: ${ESCAPED.repeat(times)}` },
  { name: 'its type', line: (times: number) => `event: ${SECRET.repeat(times)}` },
  { name: 'many comments', line: (times: number) => `: ${SECRET}\n`.repeat(times) },
  { name: 'data that is no message', line: (times: number) => `data: ${SECRET.repeat(times)}` },
])('$name may show it ECHOES_MAX times', ({ line }) => {
  const { raw } = mask.event(eventOf(line(ECHOES_MAX).trimEnd()))
  expect(raw.toString().split(MASK)).toHaveLength(ECHOES_MAX + 1)
  expect(() => mask.event(eventOf(line(ECHOES_MAX + 1).trimEnd()))).toThrow(REFUSED)
})

test('15 MiB of nothing but it are refused, within a time that one can wait', () => {
  const event = eventOf(`: ${ESCAPED.repeat((15 * 1024 * 1024) / ESCAPED.length)}`)
  const before = process.memoryUsage().rss
  const began = performance.now()
  expect(() => mask.event(event)).toThrow(REFUSED)
  expect(performance.now() - began).toBeLessThan(5_000)
  expect(process.memoryUsage().rss - before).toBeLessThan(400 * 1024 * 1024)
})

test('wrapped over several lines of data it is found', () => {
  const lines = Buffer.from(`Bearer ${SECRET}`).toString('base64').match(/.{1,8}/g) ?? []
  const before = echoed
  const { data } = mask.event(eventOf(`event: other\n${lines.map((one) => `data: ${one}`).join('\n')}`))
  expect(data).toContain(MASK)
  expect(echoed).toBe(before + 1)
}) // biome-ignore format: an event

test('where nothing is to be masked an event is the very same', () => {
  const event = eventOf('data: {"a":"\\u0061"}')
  expect(mask.event(event)).toBe(event)
  const none = answerMask(
    () => [],
    () => expect.fail('nothing was sent'),
  )
  const held = eventOf(`data: ${SECRET}`)
  expect(none.event(held)).toBe(held)
  expect(none.message(SECRET)).toBe(SECRET)
  expect(none.isIn(SECRET)).toBe(false)
})
