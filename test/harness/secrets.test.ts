// The search for secrets finds them: in each form, behind anything, and a half of one. What finds nothing proves nothing.
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { findSecrets } from './secrets.ts'

const core = randomBytes(24).toString('hex')
const secret = `a"b\\/c ${core}&=%`

type Shown = (bytes: Buffer) => string
const FORMS: Record<string, Shown> = {
  raw: (bytes) => bytes.toString(),
  json: (bytes) => JSON.stringify({ bytes: bytes.toString() }),
  'json in json': (bytes) => JSON.stringify({ text: JSON.stringify(bytes.toString()) }),
  hex: (bytes) => bytes.toString('hex'),
  HEX: (bytes) => bytes.toString('hex').toUpperCase(),
  base64: (bytes) => bytes.toString('base64'),
  base64url: (bytes) => bytes.toString('base64url'),
  percent: (bytes) => encodeURIComponent(bytes.toString()),
  'a query': (bytes) => new URLSearchParams({ q: bytes.toString() }).toString(),
  'percent, slashes as they are': (bytes) =>
    encodeURIComponent(bytes.toString()).replaceAll('%2F', '/'),
  'percent, as in an address': (bytes) => encodeURI(bytes.toString()),
  HTML: (bytes) => bytes.toString().replaceAll('&', '&amp;').replaceAll('"', '&quot;'),
  'json that is safe in HTML': (bytes) =>
    JSON.stringify(bytes.toString()).replaceAll('&', '\\u0026'),
  'json with slashes escaped': (bytes) => JSON.stringify(bytes.toString()).replaceAll('/', '\\/'),
  'percent, all of it': (bytes) => bytes.toString('hex').replaceAll(/../g, '%$&'),
}

describe.each(Object.entries(FORMS))('%s', (_name, shown) => {
  test.each([0, 1, 2, 3, 4])('behind %i bytes, before others', (before) => {
    const text = shown(Buffer.concat([randomBytes(before).fill('x'), Buffer.from(secret), Buffer.from('yz')])) // biome-ignore format: long
    const found = findSecrets({ secret }, new Map([['here', Buffer.from(`... ${text} ...`)]]))
    expect(found.length).toBeGreaterThan(0)
    expect(found[0]).toMatch(/^secret in here: /)
  })

  test.each([
    ['first', core.slice(0, 24)],
    ['second', core.slice(24)],
  ])('the %s half alone', (_, half) => {
    const text = Buffer.from(shown(Buffer.from(`-${half}-`)))
    expect(findSecrets({ secret }, new Map([['here', text]])).length).toBeGreaterThan(0)
  })

  test('another secret is not found', () => {
    const other = Buffer.from(shown(Buffer.from(`a"b\\/c ${randomBytes(24).toString('hex')}&=%`)))
    expect(findSecrets({ secret }, new Map([['here', other]]))).toEqual([])
  })
})

test('a secret that would be found by chance is not looked for', () => {
  expect(() => findSecrets({ secret: 'short' }, new Map())).toThrow('too short to look for')
})
