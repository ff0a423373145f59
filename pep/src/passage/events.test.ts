// Events on their way to the client: byte for byte unless the passage changed one, in order, also while one is decided.
import { expect, test } from 'vitest'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { SERVER_MESSAGE_BYTES_MAX } from '../limits.ts'
import { passEvents } from './events.ts'
import type { Passed } from './passage.ts'

const event = (message: object, head = ''): string => `${head}data: ${JSON.stringify(message)}\n\n`
const passageOf = (pass: (message: JsonObject) => Passed | Promise<Passed>) => {
  return { pass, answered: () => undefined, refuse: () => undefined }
}
const SAME = passageOf((message) => message)

async function through(events: ReturnType<typeof passEvents>, text: string, size: number) {
  const bytes = Buffer.from(text)
  const shown: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size)
    shown.push(await events.push(bytes.subarray(at, at + size)))
  return Buffer.concat(shown).toString()
}

const STREAM = [
  ': hello\n\n',
  'id: prime\nretry: 500\ndata: \n\n',
  event({ method: 'a' }, 'id: 4\r\nevent: message\n'),
  'event: keep-alive\ndata: tick\n\n',
  event({ id: 1, result: {} }, 'id:5\n'),
].join('')

test.each([1, 7, 10_000])(
  'a stream that nothing changes passes byte for byte, cut every %i',
  async (size) => {
    const events = passEvents(SAME, () => undefined)
    expect(await through(events, STREAM, size)).toBe(STREAM)
    expect(events.isResumable()).toBe(true)
  },
)

test('lines that are nothing to an event stream go', async () => {
  const events = passEvents(SAME, () => undefined)
  const got = await through(events, `{"id":1}\n\nname: x\n${event({ method: 'a' })}`, 1_000)
  expect(got).toBe(`\n\n${event({ method: 'a' })}`.replace(/^\n\n/, '\n'))
})

test('bytes that are not UTF-8 go on as they were read, and not as they came', async () => {
  const events = passEvents(SAME, () => undefined)
  const shown = await events.push(
    Buffer.from([...Buffer.from('data: {"a":"'), 0xff, ...Buffer.from('"}\n\n')]),
  )
  expect(shown).toEqual(Buffer.from('data: {"a":"\ufffd"}\n\n'))
})

test('without ids there is nothing to resume', async () => {
  const events = passEvents(SAME, () => undefined)
  await through(events, event({ method: 'a' }), 1_000)
  expect(events.isResumable()).toBe(false)
})

test('what is withheld leaves its id and retry: a client resumes after it', async () => {
  const nothing = passEvents(
    passageOf(() => null),
    () => undefined,
  )
  const got = await through(nothing, event({ method: 'a' }, ': c\nid: 4\nretry: 9\n'), 1_000)
  expect(got).toBe(': c\nid: 4\nretry: 9\n\n')
})

test('what is decided first is not overtaken, and what follows waits for it', async () => {
  const order: string[] = []
  const events = passEvents(
    passageOf(async (message) => {
      const name = message['method'] as string
      order.push(`begin ${name}`)
      await new Promise((resolve) => setTimeout(resolve, name === 'a' ? 20 : 1))
      order.push(`end ${name}`)
      return { ...message }
    }),
    () => undefined,
  )
  const got = await events.push(Buffer.from(event({ method: 'a' }) + event({ method: 'b' })))
  expect(got.toString()).toBe(event({ method: 'a' }) + event({ method: 'b' }))
  expect(order).toEqual(['begin a', 'end a', 'begin b', 'end b'])
})

test.each(['data: nonsense\n\n', 'data: [1]\n\n', 'data: "x"\n\n'])(
  'an event that is no message cannot be used: %j',
  (text) => {
    const events = passEvents(SAME, () => undefined)
    expect(() => events.push(Buffer.from(text))).toThrow(
      expect.objectContaining({ code: 'upstream_invalid' }),
    )
  },
)

test('an event may have SERVER_MESSAGE_BYTES_MAX bytes, and not one more', async () => {
  const around = event({ a: '' }).length
  const text = event({ a: 'x'.repeat(SERVER_MESSAGE_BYTES_MAX - around) })
  expect(
    await through(
      passEvents(SAME, () => undefined),
      text,
      1 << 20,
    ),
  ).toBe(text)
  const longer = Buffer.from(event({ a: 'x'.repeat(SERVER_MESSAGE_BYTES_MAX) }).trimEnd())
  expect(() => passEvents(SAME, () => undefined).push(longer)).toThrow(
    expect.objectContaining({ code: 'upstream_invalid' }),
  )
})
