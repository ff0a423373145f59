// Owns which addresses the gateway dials on somebody's word: what a URL says by itself, and where its name leads at the
// moment of connecting. Never connects and remembers no answer.
import { type LookupAddress, lookup as systemLookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'
import { ipText } from './ip-text.ts'
import type { Upstream } from './pep-api.ts'

/** `never`: neither the Internet nor a private network, or where a cloud tells a machine its secrets. */
export type AddressKind = 'public' | 'private' | 'never'

/** As `dns.lookup` with `all: true`: every address, or an error. */
export type Lookup = (
  hostname: string,
  options: { readonly all: true },
  callback: (error: NodeJS.ErrnoException | null, found: LookupAddress[]) => void,
) => void

export type DialRules = {
  /** Private addresses too, and http. */
  readonly mayBePrivate: boolean
  /** What would allow more, for the error: `private: true`, and where it is written. */
  readonly setting: string
  /** Default `dns.lookup`. */
  readonly lookup?: Lookup | undefined
}

/**
 * Its message names the host and the setting, never the address that the host leads to. `why`: the same without the host,
 * for where somebody else chose it.
 */
export class DialRefused extends Error {
  readonly code = 'ERR_DIAL_REFUSED'
  override readonly name = 'DialRefused'
  readonly why: string

  constructor(message: string, why = message) {
    super(message)
    this.why = why
  }
}

const PRIVATE: ReadonlySet<string> = new Set([
  'loopback', 'private', 'carrierGradeNat', 'uniqueLocal',
]) // biome-ignore format: a list

/** Ranges that ipaddr.js does not know. */
const OWN_RANGES = {
  /** Beside link-local ones: Azure, Alibaba Cloud, AWS, Google Cloud. */
  metadata: ['168.63.129.16/32', '100.100.100.200/32', 'fd00:ec2::/32', 'fd20:ce::254/128'].map(
    (range) => ipaddr.parseCIDR(range),
  ),
  /** RFC 6052: an IPv4 address in its last 32 bits. */
  nat64: ipaddr.parseCIDR('64:ff9b::/96'),
}
/** All that is assigned for the Internet (RFC 4291 §2.4): what embeds an IPv4 address in another way lies outside, or has a range. */
const GLOBAL_IPV6 = { global: ipaddr.parseCIDR('2000::/3') }

/** Of an address as `node:net` takes it; anything else is `never`. IPv4 within IPv6 counts as that IPv4 address, or never. */
export function addressKind(text: string): AddressKind {
  const plain = ipText(text)
  if (plain === undefined) return 'never'
  const address = ipaddr.parse(plain)
  const own = ipaddr.subnetMatch(address, OWN_RANGES, 'none')
  if (own === 'metadata') return 'never'
  if (own === 'nat64') return addressKind(address.toByteArray().slice(-4).join('.'))
  const range = address.range()
  if (PRIVATE.has(range)) return 'private'
  const isUnicast = range === 'unicast'
  if (!isUnicast || address.kind() === 'ipv4') return isUnicast ? 'public' : 'never'
  return ipaddr.subnetMatch(address, GLOBAL_IPV6, 'other') === 'global' ? 'public' : 'never'
}

/** Whether a URL says by itself that it leads to a private address: it is localhost, or that address is written in it. */
export function saysPrivate(url: URL): boolean {
  return url.hostname === 'localhost' || literalKind(url) === 'private'
}

/** Of a server: a URL of a private address says so by itself, a name only by its setting. */
export function serverRules(
  { private: isPrivate }: Pick<Upstream, 'private'>,
  url: URL,
): DialRules {
  const mayBePrivate = isPrivate === true || saysPrivate(url)
  return { mayBePrivate, setting: '`private: true` in its server.yaml' }
}

/** The origins of these URLs that may be private: of all, where the entry that states them says so, else of those that say it. */
export function privateOrigins(
  stated: readonly (string | undefined)[],
  isPrivate: boolean,
): string[] {
  const urls = stated.map((text) => URL.parse(text ?? '')).filter((url) => url !== null)
  return urls.filter((url) => isPrivate || saysPrivate(url)).map(({ origin }) => origin)
}

/**
 * Why `url` is not dialled, as far as it can be read in it; undefined: it is, where its name leads to what the rules
 * permit. An address written in it is judged here and nowhere else: node asks a lookup for names alone.
 */
export function urlRefusal(
  url: URL,
  { mayBePrivate, setting }: DialRules,
): DialRefused | undefined {
  const { protocol, host } = url
  if (protocol !== 'https:' && protocol !== 'http:') {
    return new DialRefused('only https URLs, and http ones, are dialled')
  }
  if (url.username !== '' || url.password !== '') {
    const why = 'a URL with a user name or a password is not dialled'
    return new DialRefused(`${why}: ${host}`, why)
  }
  if (protocol === 'http:' && !mayBePrivate) {
    return ofHost(host, `is not dialled over http; use https, or ${setting}`)
  }
  return kindRefusal(host, literalKind(url), { mayBePrivate, setting })
}

/**
 * The `lookup` of a connection. The addresses that it answers are the ones connected to, and every one must be permitted:
 * a name that leads elsewhere at the next question is judged again, and one that leads to both is refused.
 */
export function guardedLookup(rules: DialRules): LookupFunction {
  const { lookup = systemLookup } = rules
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      const kinds = found?.map(({ address }) => addressKind(address)) ?? []
      const worst =
        kinds.find((kind) => kind === 'never') ?? kinds.find((kind) => kind === 'private')
      const refused = error ?? kindRefusal(hostname, worst ?? 'public', rules)
      const [first] = found ?? []
      if (refused !== undefined) callback(refused, [])
      else if (options.all === true) callback(null, found)
      else if (first === undefined) callback(ofHost(hostname, 'leads nowhere'), [])
      else callback(null, first.address, first.family)
    })
  }
}

function literalKind({ hostname }: URL): AddressKind | undefined {
  const bare = hostname.replace(/^\[(.*)\]$/, '$1')
  return isIP(bare) === 0 ? undefined : addressKind(bare)
}

function kindRefusal(
  host: string,
  kind: AddressKind | undefined,
  { mayBePrivate, setting }: DialRules,
): DialRefused | undefined {
  if (kind === 'never') {
    return ofHost(
      host,
      "leads to an address that is never dialled: link-local, reserved, or of a cloud's metadata",
    )
  }
  if (kind !== 'private' || mayBePrivate) return undefined
  return ofHost(host, `leads to a private address, which wants ${setting}`)
}

function ofHost(host: string, why: string): DialRefused {
  return new DialRefused(`${host} ${why}`, `it ${why}`)
}
