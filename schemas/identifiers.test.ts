// Owns how ids and tokens are spelt: what passes, what is refused, and that a single wrong character of a token shows.
import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { userRequest } from './admin-api.ts'
import {
  formatToken, isWellFormedToken, RESERVED_SERVER_IDS, serverId, sha256Hex, subjectId, TOKEN_PREFIXES,
  TOKEN_RANDOM_BYTES, type TokenKind,
} from './identifiers.ts' // biome-ignore format: one list
import { ID_LENGTH_MAX } from './limits.ts'

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
const kinds = Object.keys(TOKEN_PREFIXES) as TokenKind[]
const kind = fc.constantFrom(...kinds)
const random = fc.uint8Array({ minLength: TOKEN_RANDOM_BYTES, maxLength: TOKEN_RANDOM_BYTES })

describe('server ids', () => {
  test.each(['files', 'a', '0', 'a-b_c', 'a'.repeat(64)])('`%s` passes', (id) => {
    expect(serverId.safeParse(id).success).toBe(true)
  })
  test.each([
    '', 'A', '-a', '_a', '.a', 'a.b', 'a/b', 'a b', 'a\n', 'é', '..', 'a%2f', 'a'.repeat(65), ...RESERVED_SERVER_IDS,
  ])('`%s` is refused', (id) => {
    expect(serverId.safeParse(id).success).toBe(false)
  }) // biome-ignore format: a list
})

describe('subject ids', () => {
  test.each(['alice', 'alice@example.com', 'spiffe://a/b', 'Zoë', '名', 'a'.repeat(ID_LENGTH_MAX)])(
    '`%s` passes',
    (id) => {
      expect(subjectId.safeParse(id).success).toBe(true)
    },
  )
  test.each([
    '.', '..', '-', '-x', '--help', 'ａｄｍｉｎ', 'adm\uFB01n', 'x\u00B2', 'carol＠example.com',
  ])('`%s` is refused: no path, no word of a command, or another spelling of an id', (id) => {
    expect(subjectId.safeParse(id).success).toBe(false)
  }) // biome-ignore format: a list
  test.each(['...', '.a', 'a..', 'a-', 'ﬀ'.normalize('NFKC')])('`%s` passes', (id) => {
    expect(subjectId.safeParse(id).success).toBe(true)
  })
  test.each(['', ' ', 'a b', 'a"b', "a'b", 'a\\b', 'a\u0000', 'a\n', 'a\u200b', 'a\ud800', 'a'.repeat(ID_LENGTH_MAX + 1)])(
    '`%s` is refused',
    (id) => {
      expect(subjectId.safeParse(id).success).toBe(false)
    },
  ) // biome-ignore format: a list
})

test.each([
  ['a'.repeat(64), true],
  ['A'.repeat(64), false],
  ['a'.repeat(63), false],
  [`${'a'.repeat(64)}\n`, false],
])('sha256Hex %#', (text, ok) => {
  expect(sha256Hex.safeParse(text).success).toBe(ok)
})

describe('tokens', () => {
  test('what is formatted is well formed, for its own kind only', () => {
    fc.assert(
      fc.property(kind, random, (of, bytes) => {
        const token = formatToken(of, bytes, sha256)
        expect(kinds.filter((other) => isWellFormedToken(other, token, sha256))).toEqual([of])
      }),
    )
  })

  test('one changed, added or lost character is refused without a lookup', () => {
    fc.assert(
      fc.property(kind, random, fc.nat(), fc.constantFrom('a', 'Z', '0', '_', ' ', '\n', ''), (of, bytes, at, put) => {
        const token = formatToken(of, bytes, sha256)
        const index = at % token.length
        const altered = `${token.slice(0, index)}${put}${token.slice(index + 1)}`
        fc.pre(altered !== token)
        expect(isWellFormedToken(of, altered, sha256)).toBe(false)
        expect(isWellFormedToken(of, `${token}${put}x`, sha256)).toBe(false)
      }),
    ) // biome-ignore format: one property
  })

  test('is one word that a scanner can find and a header can carry', () => {
    const token = formatToken('grant', new Uint8Array(TOKEN_RANDOM_BYTES).fill(255), sha256)
    expect(token).toMatch(/^cgt_[A-Za-z0-9_-]{43}_[0-9a-f]{8}$/)
  })
})

describe('who an operator says somebody is: what claims could say too', () => {
  const issuer = 'https://idp.test'
  test.each(['00u1', 'auth0|7', 'Zoë Z', '名', 'a'.repeat(256)])('%j', (subject) => {
    expect(userRequest.safeParse({ link: { issuer, subject } }).success).toBe(true)
  })
  test.each(['', 'a\0', 'a\n', 'a\u200b', 'x\u202ey', '\u2028', 'a\ud800', 'a'.repeat(513)])('not %j', (text) => {
    expect(userRequest.safeParse({ link: { issuer, subject: text } }).success).toBe(false)
    expect(userRequest.safeParse({ link: { issuer: text, subject: '7' } }).success).toBe(false)
  }) // biome-ignore format: a list
})
