// Formats that Cedar has a type for: one row a spelling. That Cedar reads what comes out is in ../bundle/mapped.test.ts.
import { isIPv4, isIPv6 } from 'node:net'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { datetimeText, ipv4Text, ipv6Text } from './formats.ts'

test.each<[string, string | undefined]>([
  ['2026-11-23T01:02:03Z', '2026-11-23T01:02:03.000Z'],
  ['2026-11-23t01:02:03z', '2026-11-23T01:02:03.000Z'],
  ['2026-11-23T01:02:03.5Z', '2026-11-23T01:02:03.500Z'],
  ['2026-11-23T01:02:03.123000Z', '2026-11-23T01:02:03.123Z'],
  ['2026-11-23T01:02:03+02:00', '2026-11-22T23:02:03.000Z'],
  ['2026-12-31T23:30:00-01:30', '2027-01-01T01:00:00.000Z'],
  ['2026-11-23T01:02:03-00:00', '2026-11-23T01:02:03.000Z'],
  ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00.000Z'],
  ['0000-01-01T00:00:00Z', '0000-01-01T00:00:00.000Z'],
  ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z'],
  ['0000-01-01T00:00:00+00:01', undefined],
  ['9999-12-31T23:59:59-00:01', undefined],
  ['2026-02-29T00:00:00Z', undefined],
  ['2026-02-30T00:00:00Z', undefined],
  ['2026-11-31T00:00:00Z', undefined],
  ['2026-13-01T00:00:00Z', undefined],
  ['2026-11-23T24:00:00Z', undefined],
  ['2026-06-30T23:59:60Z', undefined],
  ['2026-11-23T01:02:03.0001Z', undefined],
  ['2026-11-23T01:02:03.Z', undefined],
  ['2026-11-23T01:02:03+0200', undefined],
  ['2026-11-23T01:02:03+24:00', undefined],
  ['2026-11-23T01:02:03+02:60', undefined],
  ['2026-11-23T01:02:03', undefined],
  ['2026-11-23 01:02:03Z', undefined],
  ['2026-11-23T01:02Z', undefined],
  ['2026-11-23', undefined],
  ['+012026-11-23T01:02:03Z', undefined],
  ['2026-11-23T01:02:03Z\n', undefined],
  ['', undefined],
])('%j as a time is %j', (text, want) => {
  expect(datetimeText(text)).toBe(want)
})

test.each<[string, string | undefined]>([
  ['0.0.0.0', '0.0.0.0'],
  ['255.255.255.255', '255.255.255.255'],
  ['256.0.0.1', undefined],
  ['010.0.0.1', undefined],
  ['0x7f.0.0.1', undefined],
  ['127.1', undefined],
  ['10.0.0.0/8', undefined],
  ['1.2.3.4 ', undefined],
  ['1.2.3.4.', undefined],
  ['::1', undefined],
])('%j as an IPv4 address is %j', (text, want) => {
  expect(ipv4Text(text)).toBe(want)
})

test.each<[string, string | undefined]>([
  ['::', '::'],
  ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
  ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ['::ffff:1.2.3.4', undefined],
  ['::ffff:102:304', undefined],
  ['0:0:0:0:0:FFFF:0102:0304', undefined],
  ['64:ff9b::1.2.3.4', undefined],
  ['fe80::1%eth0', undefined],
  ['2001:db8::/32', undefined],
  ['[::1]', undefined],
  ['1::2::3', undefined],
  ['00001::', undefined],
  ['1.2.3.4', undefined],
  ['', undefined],
])('%j as an IPv6 address is %j', (text, want) => {
  expect(ipv6Text(text)).toBe(want)
})

test('what comes out is the same time, and an address of its version', () => {
  const digits = fc.stringMatching(/^[\d:.a-f/%x]{1,24}$/)
  fc.assert(
    fc.property(
      fc.date({ noInvalidDate: true }),
      fc.oneof(fc.ipV4(), fc.ipV6(), digits),
      (date, ip) => {
        const text = datetimeText(date.toISOString())
        expect(text === undefined || Date.parse(text) === date.getTime()).toBe(true)
        expect(ipv4Text(ip) === undefined || isIPv4(ip)).toBe(true)
        expect(ipv6Text(ip) === undefined || isIPv6(ip)).toBe(true)
      },
    ),
    { numRuns: 1_000 },
  )
})
