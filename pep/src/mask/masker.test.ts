// What a server says of the secret it was sent: found in every form that a server writes without meaning to hide it, masked
// in strings and keys, and refused where it cannot be masked. Encodings are those of Node, of URLSearchParams and of JSON.
import { randomBytes } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ECHOES_MAX, SERVER_MESSAGE_BYTES_MAX } from '../limits.ts'
import { createMasker, MASK } from './masker.ts'
import { maskMessage } from './message.ts'
import { createTextMask } from './text-mask.ts'

const SECRET = 'canary/+"\\ ~é😀&<\'=%-0123456789abcdef'
const masker = createMasker([SECRET])
const base64 = (before: string) => Buffer.from(`${before}${SECRET}!tail`).toString('base64')
const base64url = (before: string) => Buffer.from(`${before}${SECRET}!tail`).toString('base64url')
const percentOf = (text: string) =>
  [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
const html = (text: string) => text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll("'", '&#39;').replaceAll('<', '&lt;') // biome-ignore format: one line
const unicode = (text: string) => text.replaceAll(/[&<>'~é]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`) // biome-ignore format: one line
const inLines = (text: string, width: number, end: string) =>
  text.replaceAll(RegExp(`.{${width}}(?=.)`, 'g'), `$&${end}`)
const inMessage = (text: string) => JSON.stringify({ id: 1, result: { content: [{ text }] } })

const FORMS: { readonly name: string; readonly form: string }[] = [
  { name: 'as it is', form: SECRET },
  { name: 'after its scheme', form: `Bearer ${SECRET}` },
  ...['', 'x', 'xy', 'Bearer '].flatMap((before) => [
    { name: `base64 after ${before.length} bytes`, form: base64(before) },
    { name: `base64url after ${before.length} bytes`, form: base64url(before) },
  ]),
  { name: 'base64 as Ruby wraps it', form: inLines(base64('some text, '), 60, '\n') },
  { name: 'base64 as PEM wraps it', form: inLines(base64('some text, '), 64, '\n') },
  { name: 'base64 as mail wraps it', form: inLines(base64('some text, some more text, '), 76, '\r\n') },
  { name: 'base64 in lines, within JSON', form: JSON.stringify(inLines(base64('x'), 40, '\n')) },
  { name: 'hex in lines', form: inLines(Buffer.from(SECRET).toString('hex'), 60, '\n') },
  { name: 'hex', form: Buffer.from(SECRET).toString('hex') },
  { name: 'HEX', form: Buffer.from(SECRET).toString('hex').toUpperCase() },
  { name: 'percent', form: encodeURIComponent(SECRET) },
  { name: 'percent in lower case', form: encodeURIComponent(SECRET).replaceAll(/%../g, (hex) => hex.toLowerCase()) },
  { name: 'a form', form: new URLSearchParams({ q: SECRET }).toString() },
  { name: 'every byte percent-encoded', form: percentOf(SECRET) },
  { name: 'JSON within', form: JSON.stringify({ authorization: SECRET }) },
  { name: 'JSON within that escapes slashes', form: JSON.stringify({ authorization: SECRET }).replaceAll('/', '\\/') },
  { name: 'percent as Python quotes', form: encodeURIComponent(SECRET).replaceAll('%2F', '/') },
  { name: 'percent as encodeURI writes', form: encodeURI(SECRET) },
  { name: 'percent twice', form: encodeURIComponent(encodeURIComponent(SECRET)) },
  { name: 'HTML', form: html(SECRET) },
  { name: 'HTML twice', form: html(html(SECRET)) },
  { name: 'HTML in numbers', form: Array.from(SECRET, (one) => `&#${one.codePointAt(0)};`).join('') },
  { name: 'HTML in hexadecimal numbers', form: Array.from(SECRET, (one) => `&#x${one.codePointAt(0)?.toString(16)};`).join('') },
  { name: 'JSON within that is safe in HTML', form: unicode(JSON.stringify(SECRET)) },
  { name: 'JSON within, in ASCII', form: JSON.stringify(SECRET).replaceAll(/[^ -~]/g, (one) => `\\u${one.charCodeAt(0).toString(16)}`.replace('\\ue9', '\\u00e9')) },
  { name: 'JSON within JSON', form: JSON.stringify(JSON.stringify({ authorization: SECRET })) },
  { name: 'JSON within an address', form: encodeURI(JSON.stringify(SECRET)) },
  { name: 'base64 within an address', form: encodeURIComponent(base64('x')) },
] // biome-ignore format: a table

test.each(FORMS)('$name is masked in a string', ({ form }) => {
  const text = inMessage(`before ${form} after`)
  const masked = maskMessage(masker, text)
  const { result } = JSON.parse(masked) as { result: { content: { text: string }[] } }
  expect(result.content[0]?.text).toContain(MASK)
  expect(result.content[0]?.text).toMatch(/^before .* after$/s)
  expect(masked).not.toContain('canary')
})

test.each(FORMS)('$name is masked in a key', ({ form }) => {
  const masked = maskMessage(masker, JSON.stringify({ [form]: 1 }))
  expect(Object.keys(JSON.parse(masked) as object)[0]).toContain(MASK)
})

test.each(FORMS)('$name is found with every character escaped', ({ form }) => {
  const escaped = form
    .split('')
    .map((one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)
  expect(maskMessage(masker, `{"a":"${escaped.join('')}"}`)).toContain(MASK)
})

test.each(['a\\/b', 'a\\u0041b'])('%s in a secret is found in what is no JSON, too', (part) => {
  const own = createMasker([`canary-${part}-0123456789`])
  expect(maskMessage(own, `: canary-${part}-0123456789`)).toBe(`: ${MASK}`)
})

test.each(FORMS)('$name is masked in plain text, however it is cut', ({ form }) => {
  const text = `one ${form} two ${form} three\n`
  for (let cut = 0; cut <= text.length; cut += 1) {
    const push = createTextMask(masker)
    const masked = push(text.slice(0, cut)) + push(text.slice(cut))
    expect(masked).toBe(masker.mask(text))
    expect(masked).toMatch(/^one .*masked.* two .*masked.* three\n$/s)
  }
  const push = createTextMask(masker)
  expect(text.split('').map(push).join('')).toBe(masker.mask(text))
})

describe('what is not the secret', () => {
  test.each([
    '{"id":1,"result":{"a":1.0,"n":12345678901234567890,"t":"caf\\u00e9 \\/ \\n"}}',
    '{ "spaces" : [ ] }',
    'no json',
    '',
    inMessage('canary/'),
  ])('%s is the very same text', (text) => expect(maskMessage(masker, text)).toBe(text))

  test('stays byte for byte beside a secret: numbers, spaces, doubled keys', () => {
    const text = `{ "n": 12345678901234567890, "a": "x", "a":2, "__proto__": {"s": ${JSON.stringify(SECRET)} } }`
    const want = text.replace(JSON.stringify(SECRET), JSON.stringify(MASK))
    expect(maskMessage(masker, text)).toBe(want)
  })
})

test('a member that is named twice is looked at twice', () => {
  const text = String.raw`{"a":{"s":"\u0063anary-secret","s":1,"\u0063anary-\u0073ecret\/\"\n":2}}`
  const masked = maskMessage(createMasker(['canary-secret']), text)
  expect(masked).toBe(`{"a":{"s":"${MASK}","s":1,"${MASK}/\\"\\n":2}}`)
})

test('a secret within another is masked with it', () => {
  const both = createMasker(['password-1', 'user:password-1'])
  expect(both.mask('user:password-1 password-1')).toBe(`${MASK} ${MASK}`)
})

test.each([
  { name: 'a number', secret: '1234567890', text: '{"a":1234567890}' },
  { name: 'part of the structure', secret: 'aaaa","bbbb', text: '["aaaa","bbbb"]' },
  { name: 'what the mask says', secret: 'Cedargate', text: '{"a":"Cedargate"}' },
])('$name cannot be masked: refused', ({ secret, text }) => {
  expect(() => maskMessage(createMasker([secret]), text)).toThrow(
    expect.objectContaining({ code: 'upstream_invalid' }),
  )
})

test('a server that says it more often than anybody would is not believed', () => {
  const often = Array<string>(ECHOES_MAX).fill(SECRET)
  const masked = JSON.stringify(often.map(() => MASK))
  expect(maskMessage(masker, JSON.stringify(often))).toBe(masked)
  expect(() => maskMessage(masker, JSON.stringify([...often, SECRET]))).toThrow(
    expect.objectContaining({ code: 'upstream_invalid' }),
  )
})

function fibonacci(length: number): string {
  let [long, short] = ['ab', 'a']
  while (long.length < length) [long, short] = [long + short, long]
  return long.slice(0, length)
}

describe('near matches of a secret that repeats itself take no longer than other text', () => {
  test.each([
    { name: 'almost it', secret: 'ab'.repeat(8_000), unit: `${'ab'.repeat(7_990)}c` },
    { name: 'its beginning again and again', secret: `${'a'.repeat(16_000)}b`, unit: 'a' },
    { name: 'almost it, escaped', secret: 'ab'.repeat(8_000), unit: `${'%61b'.repeat(7_990)}c` },
    { name: 'almost it in base64', secret: 'ab'.repeat(8_000), unit: `${'YWJh'.repeat(5_000)}\\n.` },
    { name: 'all its borders', secret: `${fibonacci(16_000)}z`, unit: fibonacci(20_000) },
  ])('$name', ({ secret, unit }) => {
    const text = JSON.stringify([unit.repeat(Math.ceil((1024 * 1024) / unit.length))])
    const own = createMasker([secret])
    const began = performance.now()
    expect(maskMessage(own, text) === text).toBe(true)
    expect(performance.now() - began).toBeLessThan(5_000)
  }, 30_000) // biome-ignore format: a table
})

describe('16 MiB that a server chose take no longer than one can wait, of 16 secrets', () => {
  const many = createMasker(Array.from({ length: 16 }, () => randomBytes(24).toString('base64url')).concat(SECRET)) // biome-ignore format: one line
  const part = SECRET.slice(0, 7)
  test.each(['"",', '{"a":"\\n"},', '"\\\\",', '"%25",', '"&amp;",', '"\\u0041",', `"${part}",`, `"%${part}\\",`])(
    'of %s',
    (unit) => {
      const rest = unit.repeat(SERVER_MESSAGE_BYTES_MAX / unit.length)
      const text = `[${JSON.stringify(SECRET)},${rest}0]`
      const began = performance.now()
      const masked = maskMessage(many, text)
      expect(performance.now() - began).toBeLessThan(5_000)
      expect(masked === `["${MASK}",${rest}0]`).toBe(true)
    },
    30_000,
  ) // biome-ignore format: a table
})

test('of a stream that ends within a secret nothing of that is said', () => {
  expect(createTextMask(masker)(`said ${SECRET.slice(0, -1)}`)).toBe('said ')
})

test('any secret, anywhere, in any form, comes out masked; any other text as it was', () => {
  const secretText = fc.string({ minLength: 8, maxLength: 40, unit: 'binary-ascii' })
  const around = fc.string({ maxLength: 20 })
  fc.assert(
    fc.property(secretText, around, around, fc.nat(3), (secret, before, after, form) => {
      const own = createMasker([secret])
      fc.pre(!own.isIn(MASK) && !own.isIn(JSON.stringify({ t: `${before}${after}${MASK}` })))
      const bytes = Buffer.from(secret)
      const said = [secret, bytes.toString('hex'), encodeURIComponent(secret)][form] ??
        Buffer.from(before + secret + after).toString('base64') // biome-ignore format: a choice
      const masked = maskMessage(own, JSON.stringify({ t: `${before}${said}${after}` }))
      expect(own.isIn((JSON.parse(masked) as { t: string }).t)).toBe(false)
      expect(masked).toContain(MASK)
    }),
  )
})
