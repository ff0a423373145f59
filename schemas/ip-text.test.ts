// Each address has one spelling, and what is none has no spelling.
import { expect, test } from 'vitest'
import { ipText } from './ip-text.ts'

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['::FFFF:C000:201', '192.0.2.1'],
  ['::ffff:0.0.0.0', '0.0.0.0'],
  ['2001:DB8:0:0::1', '2001:db8::1'],
  ['fe80::1%eth0', 'fe80::1'],
  [`fe80::1%${'x'.repeat(80)}\n`, 'fe80::1'],
  ['::', '::'],
])('%j is %s', (text, want) => {
  expect(ipText(text)).toBe(want)
})

test.each(['', '1.2.3', '01.2.3.4', '1.2.3.256', '192.0.2.1:80', '[::1]', '::1]:80/', 'localhost', ' ::1', '::1 '])('%j is none', (text) => {
  expect(ipText(text)).toBeUndefined()
}) // biome-ignore format: a list
