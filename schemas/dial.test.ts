// Which addresses are dialled: by their ranges, in every spelling, and where names lead to.

import type { LookupAddress } from 'node:dns'
import { BlockList, connect, createServer, type LookupFunction } from 'node:net'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type AddressKind,
  addressKind,
  DialRefused,
  guardedLookup,
  type Lookup,
  saysPrivate,
  urlRefusal,
} from './dial.ts'

const SETTING = '`private: true` in the test'
const rules = (mayBePrivate: boolean, lookup?: Lookup) => ({
  mayBePrivate,
  setting: SETTING,
  lookup,
})

describe('an address', () => {
  test.each<[AddressKind, readonly string[]]>([
    ['public', ['1.1.1.1', '8.8.8.8', '172.15.255.255', '172.32.0.0', '100.63.255.255', '100.128.0.0', '192.169.0.1']],
    ['public', ['2606:4700:4700::1111', '2001:4860:4860::8888', '2a00:1450:4001::1', '::ffff:8.8.8.8', '64:ff9b::8.8.8.8']],
    ['private', ['127.0.0.1', '127.255.255.255', '10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '100.64.0.1']],
    ['private', ['::1', 'fc00::1', 'fd12:3456::1', '::ffff:10.0.0.1', '::ffff:7f00:1', '64:ff9b::10.0.0.1', '::1%lo']],
    ['never', ['169.254.169.254', '169.254.0.1', '0.0.0.0', '0.1.2.3', '224.0.0.1', '255.255.255.255', '240.0.0.1', '192.0.0.192']],
    ['never', ['192.0.2.1', '198.18.0.1', '198.51.100.1', '203.0.113.1', '192.88.99.1']],
    ['never', ['fe80::1', 'fe80::1%eth0', 'febf::1', 'fec0::1', '::', 'ff02::1', '100::1', '2001:db8::1', '3fff::1', '5f00::1']],
    ['never', ['::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe', '64:ff9b:1::a00:1', '2002:7f00:1::', '2002:808:808::1']],
    ['never', ['2001::1', '2001:0:a00:1::1', '::127.0.0.1', '::ffff:0:127.0.0.1', '4000::1', '::2']],
    ['never', ['168.63.129.16', '100.100.100.200', 'fd00:ec2::254', 'fd00:ec2::23', 'fd20:ce::254']],
    ['never', ['', 'localhost', '0177.0.0.1', '2130706433', '0x7f.1', '127.1', '1.1.1.1 ', '[::1]']],
  ])('%s: %s', (kind, addresses) => {
    expect(addresses.map(addressKind)).toEqual(addresses.map(() => kind))
  }) // biome-ignore format: a table

  test('a second opinion: IPv4, by itself and within IPv6', () => {
    const opinion = opinionOf({
      never: ['0.0.0.0/8', '169.254.0.0/16', '192.0.0.0/24', '192.0.2.0/24', '192.31.196.0/24', '192.52.193.0/24', '192.88.99.0/24', '192.175.48.0/24', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/3', '168.63.129.16/32', '100.100.100.200/32'],
      private: ['127.0.0.0/8', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'],
      public: ['0.0.0.0/0'],
    })
    const octet = fc.oneof(fc.nat(255), fc.constantFrom(0, 10, 31, 63, 64, 88, 100, 127, 128, 168, 169, 172, 175, 192, 196, 198, 203, 223, 224, 254, 255))
    fc.assert(
      fc.property(fc.tuple(octet, octet, octet, octet), (octets) => {
        const text = octets.join('.')
        const kinds = [text, `::ffff:${text}`, `64:ff9b::${text}`].map(addressKind)
        expect(kinds).toEqual(kinds.map(() => opinion(text)))
        expect(addressKind(`::ffff:0:${text}`)).toBe('never')
      }),
      { numRuns: 5_000 },
    )
    expect(opinion('8.8.8.8')).toBe('public')
  }) // biome-ignore format: ranges

  test('a second opinion: IPv6 that holds no IPv4', () => {
    const opinion = opinionOf({
      never: ['2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20', 'fd00:ec2::/32', 'fd20:ce::254/128'],
      private: ['fc00::/7', '::1/128'],
      public: ['2000::/3'],
    })
    const word = fc.oneof(fc.nat(0xff_ff), fc.constantFrom(0, 1, 0xce, 0xdb8, 0xec2, 0x254, 0x2000, 0x2001, 0x2002, 0x2620, 0x3fff, 0x4000, 0xfc00, 0xfd00, 0xfd20, 0xfe80, 0xff02))
    fc.assert(
      fc.property(fc.array(word, { minLength: 8, maxLength: 8 }), (words) => {
        const text = words.map((one) => one.toString(16)).join(':')
        fc.pre(!/^0:0:0:0:0:ffff:|^64:ff9b:/.test(text))
        expect([text, addressKind(text)]).toEqual([text, opinion(text)])
      }),
      { numRuns: 5_000 },
    )
    expect(opinion('2606:4700::1')).toBe('public')
  }) // biome-ignore format: ranges
})

/** By node's own ranges; the first that holds the address. */
function opinionOf(ranges: Readonly<Record<AddressKind, readonly string[]>>) {
  const lists = (['never', 'private', 'public'] as const).map((kind) => {
    const list = new BlockList()
    for (const range of ranges[kind]) {
      const [net = '', bits] = range.split('/')
      list.addSubnet(net, Number(bits), familyOf(net))
    }
    return { kind, list }
  })
  return (text: string): AddressKind =>
    lists.find(({ list }) => list.check(text, familyOf(text)))?.kind ?? 'never'
}

function familyOf(text: string): 'ipv4' | 'ipv6' {
  return text.includes(':') ? 'ipv6' : 'ipv4'
}

const of = (text: string, mayBePrivate = false) => urlRefusal(new URL(text), rules(mayBePrivate))
const found = (...addresses: string[]): LookupAddress[] =>
  addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
const leading =
  (...addresses: string[]): Lookup =>
  (_name, _options, callback) =>
    callback(null, found(...addresses))
const failing: Lookup = (_name, _options, callback) => callback(new Error('ENOTFOUND'), [])
/** What a connection is given; a refusal as its text. */
const asked = (lookup: LookupFunction, all: boolean) =>
  new Promise<unknown>((resolve) => {
    lookup('name.test', { all }, (error, answer) =>
      resolve(error === null ? answer : `${error.name}: ${error.message}`),
    )
  })

describe('a URL', () => {
  const spellings = ['127.0.0.1', '127.0.0.1.', '127.1', '0177.0.0.1', '2130706433', '0x7f.1', '0x7f000001', '%31%32%37.0.0.1', '１２７.0.0.1', '127。0。0。1', '[::1]', '[::ffff:127.0.0.1]', '[0:0:0:0:0:ffff:7f00:1]', '[64:ff9b::7f00:1]'] // biome-ignore format: a list

  test.each(spellings)('loopback is seen when it is written %s', (host) => {
    expect(of(`https://${host}/x`)?.message).toMatch(/leads to a private address, which wants `private: true` in the test$/)
    expect(of(`https://${host}:8443/x`)).toBeInstanceOf(DialRefused)
    expect(of(`http://${host}/x`, true)).toBeUndefined()
    expect(saysPrivate(new URL(`http://${host}/`))).toBe(true)
  }) // biome-ignore format: long lines

  test.each(['169.254.169.254', '0xa9fea9fe', '2852039166', '[fe80::1]', '[::ffff:169.254.169.254]', '0.0.0.0', '0', '[::]', '255.255.255.255', '[2002:7f00:1::]'])('%s is never dialled', (host) => {
    for (const may of [false, true]) expect(of(`https://${host}/`, may)?.message).toMatch(/never dialled/)
    expect(saysPrivate(new URL(`https://${host}/`))).toBe(false)
  }) // biome-ignore format: a list

  test.each(['https://[fe80::1%25eth0]/', 'https://[::1%25lo]/', 'https://256.1.1.1/', 'https://1.2.3.4.5/'])('%s is none', (text) => {
    expect(URL.canParse(text)).toBe(false)
  }) // biome-ignore format: a list

  test('a name is a name, and localhost says what it is', () => {
    for (const name of ['example.com', 'localhost.', 'localhost.evil.test', '127.0.0.1.nip.io', 'metadata.google.internal']) {
      expect(of(`https://${name}/`)).toBeUndefined()
      expect(saysPrivate(new URL(`https://${name}/`))).toBe(false)
    }
    expect(saysPrivate(new URL('http://LOCALHOST:8080/'))).toBe(true)
    expect(of('https://1.1.1.1/')).toBeUndefined()
  }) // biome-ignore format: a list

  test('http only where private is allowed; nothing else at all', () => {
    expect(of('http://example.com:81/')?.message).toBe('example.com:81 is not dialled over http; use https, or `private: true` in the test') // biome-ignore format: long
    expect(of('http://example.com/', true)).toBeUndefined()
    for (const text of ['ftp://example.com/', 'file:///etc/passwd', 'unix:///run/x.sock', 'http+unix://%2Frun%2Fx.sock/', 'data:,x', 'ws://example.com/']) {
      expect(of(text, true)).toBeInstanceOf(DialRefused)
    } // biome-ignore format: a list
  })

  test('with a user name or a password is refused, and the error does not tell it', () => {
    for (const text of ['https://who@example.com/', 'https://:s3cret@example.com/']) {
      expect(of(text, true)?.message).toBe('a URL with a user name or a password is not dialled: example.com') // biome-ignore format: long
    }
  })
})

describe('where a name leads', () => {
  test.each<{ to: string[]; may: boolean }>([
    { to: ['1.1.1.1', '2606:4700:4700::1111'], may: false },
    { to: ['10.0.0.1', '1.1.1.1'], may: true },
  ])('$to, private $may: dialled', async ({ to, may }) => {
    const lookup = guardedLookup(rules(may, leading(...to)))
    expect([await asked(lookup, true), await asked(lookup, false)]).toEqual([found(...to), to[0]])
  })

  const wants = 'DialRefused: name.test leads to a private address, which wants `private: true` in the test' // biome-ignore format: short
  const never = "DialRefused: name.test leads to an address that is never dialled: link-local, reserved, or of a cloud's metadata" // biome-ignore format: short
  test.each<{ to: string[]; may: boolean; want: string }>([
    { to: ['1.1.1.1', '10.0.0.1'], may: false, want: wants },
    { to: ['10.0.0.1', '1.1.1.1'], may: false, want: wants },
    { to: ['::1'], may: false, want: wants },
    { to: ['1.1.1.1', '::ffff:169.254.169.254'], may: false, want: never },
    { to: ['10.0.0.1', '169.254.169.254'], may: true, want: never },
    { to: ['not an address'], may: true, want: never },
  ])('$to, private $may: $want', async ({ to, may, want }) => {
    const lookup = guardedLookup(rules(may, leading(...to)))
    expect([await asked(lookup, true), await asked(lookup, false)]).toEqual([want, want])
  }) // biome-ignore format: a table

  test('nowhere, or to an error: no address comes through', async () => {
    expect(await asked(guardedLookup(rules(true, leading())), false)).toBe('DialRefused: name.test leads nowhere') // biome-ignore format: short
    expect(await asked(guardedLookup(rules(true, failing)), true)).toBe('Error: ENOTFOUND')
  })

  test.each([true, false])('a connection is to what was judged, families raced: %s', async (autoSelectFamily) => {
    const server = createServer((socket) => socket.end('hello'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    let answers = 0
    // Public when somebody looks first, private when it is connected to.
    const rebinding: Lookup = (_name, _options, callback) =>
      callback(null, found(answers++ === 0 ? '1.1.1.1' : '127.0.0.1'))
    await asked(guardedLookup(rules(false, rebinding)), true)
    const connecting = (may: boolean) => new Promise<string>((resolve) => {
      const lookup = guardedLookup(rules(may, rebinding))
      const socket = connect({ host: 'rebind.test', port, lookup, autoSelectFamily })
      socket.on('data', (data) => resolve(String(data))).on('error', (error) => resolve(error.message))
    })
    expect(await connecting(false)).toMatch(/^rebind.test leads to a private address/)
    expect(await connecting(true)).toBe('hello')
    server.close()
  }) // biome-ignore format: long lines
})
