// Where a request comes from, with and without proxies that are trusted: nobody else chooses it.
import type { IncomingMessage } from 'node:http'
import { expect, test } from 'vitest'
import { createSourceOf } from './source.ts'

const from = (remoteAddress: string | undefined, forwarded?: string): IncomingMessage =>
  ({ socket: { remoteAddress }, headers: { 'x-forwarded-for': forwarded } }) as unknown as IncomingMessage // biome-ignore format: short

test.each([
  { name: 'nobody is trusted', proxies: [], peer: '10.0.0.1', said: '192.0.2.9', source: '10.0.0.1' },
  { name: 'the peer is no proxy', proxies: ['10.0.0.0/8'], peer: '192.0.2.1', said: '192.0.2.9', source: '192.0.2.1' },
  { name: 'the peer is one', proxies: ['10.0.0.0/8'], peer: '10.0.0.1', said: '192.0.2.9', source: '192.0.2.9' },
  { name: 'it says nothing', proxies: ['10.0.0.0/8'], peer: '10.0.0.1', said: undefined, source: '10.0.0.1' },
  { name: 'a client said something before', proxies: ['10.0.0.0/8'], peer: '10.0.0.1', said: '127.0.0.1, 10.9.9.9, 192.0.2.9', source: '192.0.2.9' },
  { name: 'two proxies', proxies: ['10.0.0.0/8', '203.0.113.7'], peer: '10.0.0.1', said: '1.1.1.1, 192.0.2.9, 203.0.113.7', source: '192.0.2.9' },
  { name: 'every hop is one', proxies: ['uniquelocal'], peer: '10.0.0.1', said: '10.0.0.3, 10.0.0.2', source: '10.0.0.3' },
  { name: 'what it says is no address', proxies: ['10.0.0.0/8'], peer: '10.0.0.1', said: '192.0.2.9, <script>', source: '10.0.0.1' },
  { name: 'what its proxy says is none', proxies: ['10.0.0.0/8'], peer: '10.0.0.1', said: '192.0.2.9, unknown, 10.0.0.2', source: '10.0.0.2' },
  { name: 'IPv4 mapped into IPv6', proxies: ['10.0.0.1'], peer: '::ffff:10.0.0.1', said: '2001:db8::1', source: '2001:db8::1' },
  { name: 'a peer that is mapped, and no proxies', proxies: [], peer: '::ffff:192.0.2.1', said: undefined, source: '192.0.2.1' },
  { name: 'a long zone', proxies: ['10.0.0.1'], peer: '10.0.0.1', said: `fe80::1%${'x'.repeat(80)}`, source: 'fe80::1' },
  { name: 'another spelling', proxies: ['10.0.0.1'], peer: '10.0.0.1', said: '2001:DB8:0:0::1', source: '2001:db8::1' },
  { name: 'loopback', proxies: ['loopback'], peer: '::1', said: '192.0.2.9', source: '192.0.2.9' },
  { name: 'a peer without an address', proxies: ['loopback'], peer: undefined, said: '192.0.2.9', source: null },
])('$name: $source', ({ proxies, peer, said, source }) => {
  expect(createSourceOf(proxies)(from(peer, said))).toBe(source)
}) // biome-ignore format: a table

test.each(['', 'proxy.example', '10.0.0.0/33', '300.0.0.1', '0.0.0.0/0', '::/0', '1.2.3.4/0.0.0.0'])('%j is no range', (range) => {
  expect(() => createSourceOf([range])).toThrow(/address/)
}) // biome-ignore format: a list
