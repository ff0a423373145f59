// The host of a URL and the domain of an address: one row a spelling, and the ways round a policy that are refused.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { FoundDomain } from './domains.ts'
import { emailDomain, urlHost } from './domains.ts'

const told = (found: FoundDomain) => (found.ok ? found.domain : new RegExp(found.problem).source)

test.each<[string, string]>([
  ['https://example.com/a?b#c', 'example.com'],
  ['HTTPS://EXAMPLE.com:8443', 'example.com'],
  ['wss://example.com.', 'example.com'],
  ['http://a.com#@evil.com/', 'a.com'],
  ['http://a.com?@evil.com/', 'a.com'],
  ['http://a.com/@evil.com', 'a.com'],
  ['https://bücher.de/', 'xn--bcher-kva.de'],
  ['https://ＥＸＡＭＰＬＥ。com/', 'example.com'],
  ['http://exam\u00adple.com/', 'example.com'],
  ['http://under_score.internal/', 'under_score.internal'],
  ['http://2130706433/', '127.0.0.1'],
  ['http://0x7f.1/', '127.0.0.1'],
  ['http://0177.0.0.1./', '127.0.0.1'],
  ['http://[::1]:80/', '[::1]'],
  ['http://[2001:DB8:0::1]/', '[2001:db8::1]'],
  ['http://[::]/', '[::]'],
  ['http://[fd00:ec2::254]/', '[fd00:ec2::254]'],
  ['http://[2001:500::1]/', '[2001:500::1]'],
])('%s leads to %s', (url, want) => {
  expect(told(urlHost(url))).toBe(want)
})

test.each<[string, RegExp]>([
  ['https://a.com@evil.com/', /credentials/],
  ['https://@evil.com/', /credentials/],
  ['https://:@evil.com/', /credentials/],
  ['https://a.com\\@evil.com/', /backslash/],
  ['https:\\\\evil.com', /backslash/],
  ['https://a.com\t.evil.com/', /control/],
  ['https://a.com/\n', /control/],
  [' https://a.com/', /white space/],
  ['https://a.com/\u00a0', /white space/],
  ['https://ex%61mple.com/', /two ways/],
  ['https://faß.de/', /two ways/],
  ['https://a\u200db.com/', /host/],
  ['http://[::ffff:127.0.0.1]/', /IPv4 address written as IPv6/],
  ['http://[::ffff:7f00:1]/', /IPv4 address written as IPv6/],
  ['http://[::127.0.0.1]/', /IPv4 address written as IPv6/],
  ['http://[::ffff:0:127.0.0.1]/', /IPv4 address written as IPv6/],
  ['http://[64:ff9b::127.0.0.1]/', /IPv4 address written as IPv6/],
  ['http://[64:ff9b:1::7f00:1]/', /IPv4 address written as IPv6/],
  ['http://[2002:7f00:1::]/', /IPv4 address written as IPv6/],
  ['http://[2001::1]/', /IPv4 address written as IPv6/],
  ['http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/', /IPv4 address written as IPv6/],
  ['http://a..com/', /no host name/],
  ['http://a.com../', /no host name/],
  ['http://.a.com/', /no host name/],
  ['http://a.com,b.com/', /no host name/],
  ['http://a.com;b/', /no host name/],
  ['http://1.2.3.4.5/', /looked up/],
  ['http://a b.com/', /looked up/],
  ['http://[::1', /looked up/],
  ['http:///a.com/', /not an http/],
  ['http:a.com', /not an http/],
  ['http:/a.com', /not an http/],
  ['//a.com/', /not an http/],
  ['a.com', /not an http/],
  ['ftp://a.com/', /not an http/],
  ['javascript://a.com/%0aalert(1)', /not an http/],
  ['file:///etc/passwd', /not an http/],
  ['', /not an http/],
])('%j has no host: %s', (url, want) => {
  expect(told(urlHost(url))).toMatch(want)
})

test.each<[string, string]>([
  ['ada@example.com', 'example.com'],
  ["o'brien+tag@Example.COM", 'example.com'],
  ['ada@bücher.de', 'xn--bcher-kva.de'],
  ['root@localhost', 'localhost'],
])('%s is of %s', (address, want) => {
  expect(told(emailDomain(address))).toBe(want)
})

test.each([
  'ada', '@a.com', 'ada@', 'a@b@c.com', 'a@b.com,c@d.com', 'a@b.com c@d.com', 'Ada <ada@a.com>', '<ada@a.com>', '"a@b.com"@c.com',
  '"ada"@a.com', 'ada(evil.com)@a.com', 'ada@a.com(evil.com)', 'ada@[127.0.0.1]', 'ada@127.0.0.1', 'ada@0x7f.1', 'ada@a.com:25',
  'ada@a.com/x', 'ada@a%2ecom', 'ada%evil.com@a.com', 'evil.com!ada@a.com', '@a.com:ada@b.com', 'ada.@a.com', '.ada@a.com', 'a..b@a.com',
  'ada@.a.com', 'ada@a..com', 'ada@faß.de', 'ada@a.com\n', 'ada@a.com\\', ' ada@a.com', 'ada@a.com\u00a0', 'mailto:ada@a.com', 'ada@a!.com', '',
])('%j is no plain address', (address) => {
  expect(emailDomain(address).ok).toBe(false)
}) // biome-ignore format: a list

test('whatever is given, a host is one that the URL Standard gives, and its own host', () => {
  const odd = fc.stringMatching(/^[a-z.@:/\\[\]%#? 0-9ß。-]{0,12}$/)
  const url = fc.oneof(fc.webUrl(), fc.tuple(odd, odd).map(([a, b]) => `http://${a}x.com${b}`), fc.string())
  const found = fc.sample(url, { numRuns: 2_000, seed: 7 }).flatMap((text) => {
    const answer = urlHost(text)
    return answer.ok ? [{ text, host: answer.domain }] : []
  })
  expect(found.length).toBeGreaterThan(200)
  expect(found.map(({ text }) => new URL(text).hostname.replace(/\.$/, ''))).toEqual(found.map(({ host }) => host))
  expect(found.map(({ host }) => told(urlHost(`http://${host}/`)))).toEqual(found.map(({ host }) => host))
}) // biome-ignore format: long rows

test('whatever is given, a domain is what stands after the one @', () => {
  const addresses = fc.sample(fc.oneof(fc.emailAddress(), fc.string()), { numRuns: 2_000, seed: 7 })
  const found = addresses.flatMap((address) => {
    const answer = emailDomain(address)
    return answer.ok ? [[address.split('@')[1]?.toLowerCase(), answer.domain]] : []
  })
  expect(found.length).toBeGreaterThan(200)
  expect(found.filter(([after, domain]) => after !== domain)).toEqual([])
})
