// Any secret, in any form, wrapped into lines, escaped once and again, and cut anywhere: found, masked, and nothing of it
// said. From a fixed seed, so that what fails here fails everywhere.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createMasker, MASK } from './masker.ts'
import { maskMessage } from './message.ts'
import { createTextMask } from './text-mask.ts'
import { undone } from './undone.ts'

const SEED = 20_260_101
const hexOf = (character: string, digits: number) =>
  character.charCodeAt(0).toString(16).padStart(digits, '0')

/** What servers write a secret in; `before` is what else they encode with it. */
const ENCODINGS: readonly ((secret: string, before: string) => string)[] = [
  (secret) => secret,
  (secret) => encodeURIComponent(secret),
  (secret) => new URLSearchParams({ q: secret }).toString(),
  (secret) => JSON.stringify({ secret }),
  (secret, before) => Buffer.from(`${before}${secret}!`).toString('base64'),
  (secret, before) => Buffer.from(`${before}${secret}!`).toString('base64url'),
  (secret, before) => Buffer.from(`${before}${secret}!`).toString('hex'),
  (secret, before) => Buffer.from(`${before}${secret}!`).toString('hex').toUpperCase(),
]
/** Encodings that lines of are wrapped. */
const WRAPPED_FROM = 4

const NAMES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' } // biome-ignore format: one line
const ESCAPES: readonly ((character: string) => string)[] = [
  (character) => character,
  (character) => JSON.stringify(character).slice(1, -1),
  (character) => `\\u${hexOf(character, 4)}`,
  (character) => `%${hexOf(character, 2).toUpperCase()}`,
  (character) => `&#${character.charCodeAt(0)};`,
  (character) => `&#X${hexOf(character, 3)};`,
  (character) => NAMES[character] ?? character,
  (character) => (character === '/' ? '\\/' : character),
]

/** Not mostly of what escapes are made of. */
const isLeft = (secret: string) => undone(Buffer.from(secret)).bytes.length >= 6
const index = (of: readonly unknown[]) => fc.nat(of.length - 1)
const said = fc.record({
  // No space at its ends, as in what is sent.
  secret: fc.stringMatching(/^[!-~][ -~]{6,40}[!-~]$/).filter(isLeft),
  before: fc.constantFrom('', 'x', 'Bearer ', 'some text that is long enough for a line of its own: '),
  encoding: index(ENCODINGS),
  width: fc.constantFrom(5, 60, 64, 76),
  lineEnd: fc.constantFrom('\n', '\r\n', '\n  '),
  /** Each layer: characters in turn by these. */
  layers: fc.array(fc.array(index(ESCAPES), { minLength: 1, maxLength: 5 }), { maxLength: 2 }),
  around: fc.tuple(
    fc.constantFrom('', 'x', 'id=', '\\', '9% ', '&amp;', '"', 'é'),
    fc.constantFrom('', 'y', '&', '"', ';', '\n'),
  ),
  cuts: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 5 }),
}) // biome-ignore format: one a line

type Said = typeof said extends fc.Arbitrary<infer Value> ? Value : never

function textOf({ secret, before, encoding, width, lineEnd, layers, around }: Said): string {
  const encoded = ENCODINGS[encoding]?.(secret, before) ?? ''
  const isWrapped = encoding >= WRAPPED_FROM
  const lines = isWrapped ? encoded.replaceAll(RegExp(`.{${width}}(?=.)`, 'g'), `$&${lineEnd}`) : encoded // biome-ignore format: long
  const escaped = layers.reduce((text, layer) => {
    const escapeAt = (at: number) => ESCAPES[layer[at % layer.length] ?? 0]
    return Array.from(text, (one, at) => escapeAt(at)?.(one)).join('')
  }, lines)
  return around.join(escaped)
}

function cut(text: string, cuts: readonly number[]): string[] {
  const pieces: string[] = []
  for (let [at, turn] = [0, 0]; at < text.length; turn += 1) {
    const length = cuts[turn % cuts.length] ?? 1
    pieces.push(text.slice(at, at + length))
    at += length
  }
  return pieces
}

test('in a message', () => {
  fc.assert(
    fc.property(said, (one) => {
      const masker = createMasker([one.secret])
      fc.pre(!masker.isIn(JSON.stringify({ jsonrpc: '2.0', [MASK]: ['text', 'isError'] })))
      const text = textOf(one)
      const masked = maskMessage(masker, JSON.stringify({ text, [text]: 1 }))
      const [again, key] = [(JSON.parse(masked) as { text: string }).text, Object.keys(JSON.parse(masked) as object)[1]] // biome-ignore format: long
      expect(again).toContain(MASK)
      expect(key).toContain(MASK)
      expect(masker.isIn(masked) || masker.isIn(again)).toBe(false)
    }),
    { seed: SEED, numRuns: 1_500 },
  )
})

test('in pieces: all in all as the whole', () => {
  fc.assert(
    fc.property(said, (one) => {
      const masker = createMasker([one.secret])
      fc.pre(!masker.isIn(`before ${MASK} after`))
      // Of which no secret begins with the end.
      const text = `before ${textOf(one)} after ·`
      const push = createTextMask(masker)
      const masked = cut(text, one.cuts).map(push).join('')
      expect(masked).toBe(masker.mask(text))
      expect(masked).toContain(MASK)
      expect(masker.isIn(masked)).toBe(false)
    }),
    { seed: SEED, numRuns: 500 },
  )
})
