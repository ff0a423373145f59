// Owns the host of a URL and the domain of an e-mail address: what policies may compare these by. Pure and lexical:
// nothing is resolved, so a name that points somewhere else tomorrow is NOT noticed, nor is a redirect.

/** `domain` as it is looked up, or why there is none. `problem` never quotes the text. */
export type FoundDomain =
  | { readonly ok: true; readonly domain: string }
  | { readonly ok: false; readonly problem: string }

const CONTROL = /\p{Cc}/u
const SPECIAL = /^(?:https?|wss?):\/\/([^/?#]+)/i
/** What the two generations of IDNA, both in use, map to two different names. */
const DEVIATION = /[ßẞς\u200c\u200d]/u
/** Letters, digits, `-` and `_` between single dots, or an IPv6 address. */
const HOST = /^(?:[a-z\d_-]+(?:\.[a-z\d_-]+)*|\[[\da-f:]+\])$/
/**
 * IPv6 that carries an IPv4 address: compatible and mapped (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052, 8215), 6to4
 * (RFC 3056), Teredo (RFC 4380). `::` and `::1` are themselves.
 */
const IPV4_IN_IPV6 =
  /^\[(?:::(?:ffff:(?:0:)?)?[\da-f]+:[\da-f]+|64:ff9b:[\da-f:]+|2002:[\da-f:]+|2001:(?:0:|:)[\da-f:]+)\]$/

/**
 * The host of an http, https, ws or wss URL as the URL Standard reads it: lower case, Punycode, IPv4 in four decimal
 * numbers, IPv6 in brackets; without port and without the dot of the root.
 *
 * Refuses what another reader might see another host in: credentials, a backslash, control characters, white space
 * at either end, `%` or characters in the host that two IDNA versions map apart, IPv4 written as IPv6, a host that is
 * no host name.
 */
export function urlHost(unverified: string): FoundDomain {
  const problem = problemOf(unverified)
  if (problem !== undefined) return { ok: false, problem }
  const authority = SPECIAL.exec(unverified)?.[1]
  if (authority === undefined) return refuse('is not an http, https, ws or wss URL')
  if (authority.includes('@')) return refuse('is a URL with credentials')
  return hostOf(authority, URL.parse(unverified))
}

/** RFC 5322 atoms without `!` and `%`, which some mail servers route by. */
const LOCAL = /^[\w#$&'*+/=?^`{|}~-]+(?:\.[\w#$&'*+/=?^`{|}~-]+)*$/
const NO_DOMAIN = /[\s/?#:@[\]()<>,;"'%]/u

/**
 * The domain of one bare address `local@domain`, in lower case and Punycode. Refuses display names, comments, quotes,
 * several addresses, source routes, address literals and numeric domains. Does NOT look at the local part otherwise.
 */
export function emailDomain(unverified: string): FoundDomain {
  const problem = problemOf(unverified)
  if (problem !== undefined) return { ok: false, problem }
  const [local = '', domain = '', ...more] = unverified.split('@')
  const plain = LOCAL.test(local) && domain !== '' && !NO_DOMAIN.test(domain) && more.length === 0
  if (!plain) return refuse('is not one plain e-mail address')
  const found = hostOf(domain, URL.parse(`http://${domain}/`))
  const numeric = found.ok && /(?:^|\.)\d+$/.test(found.domain)
  return numeric ? refuse('is not one plain e-mail address') : found
}

function problemOf(text: string): string | undefined {
  if (CONTROL.test(text)) return 'holds a control character'
  if (text.includes('\\')) return 'holds a backslash'
  if (text.trim() !== text) return 'begins or ends with white space'
  return undefined
}

function hostOf(authority: string, url: URL | null): FoundDomain {
  if (url === null) return refuse('has no host that can be looked up')
  if (authority.includes('%') || DEVIATION.test(authority)) {
    return refuse('has a host that can be read in two ways')
  }
  const host = url.hostname.endsWith('.') ? url.hostname.slice(0, -1) : url.hostname
  if (IPV4_IN_IPV6.test(host)) return refuse('has an IPv4 address written as IPv6')
  if (!HOST.test(host)) return refuse('has a host that is no host name')
  return { ok: true, domain: host }
}

function refuse(problem: string): FoundDomain {
  return { ok: false, problem }
}
