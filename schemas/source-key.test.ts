// Which addresses are one source.
import { expect, test } from 'vitest'
import { sourceKey } from './source-key.ts'

test.each([
  ['127.0.0.1', '127.0.0.1'],
  ['203.0.113.9', '203.0.113.9'],
  ['::ffff:203.0.113.9', '203.0.113.9'],
  ['::ffff:cb00:7109', '203.0.113.9'],
  ['::1', '0:0:0:0::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['2001:db8::ffff:203.0.113.9', '2001:db8:0:0::/64'],
  ['2001:DB8:0:0:ffff:ffff:ffff:ffff', '2001:db8:0:0::/64'],
  ['2001:db8:0:1::1', '2001:db8:0:1::/64'],
  ['1:2:3:4:5:6:7:8', '1:2:3:4::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['::', '0:0:0:0::/64'],
  [undefined, 'local'],
  ['', 'local'],
  ['/run/pdp.sock', 'local'],
  ['not:an:address', 'local'],
  ['::1]/x[', 'local'],
])('%s is of %s', (address, key) => {
  expect(sourceKey(address)).toBe(key)
})
