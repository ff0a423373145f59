// Owns the JSON Schema formats that Cedar has a type for: a text in, the one spelling that Cedar reads out. Pure.
// Never guesses: a text that could be read in two ways, or not be held exactly, has no spelling.

const DATETIME =
  /^(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{3})0*|\.(\d{1,3}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/
const MINUTE_MS = 60_000

/**
 * A date-time of RFC 3339 §5.6 in UTC, with milliseconds. undefined: no such time, no offset, a leap second, finer
 * than a millisecond, or in UTC outside the years 0000 to 9999.
 */
export function datetimeText(text: string): string | undefined {
  const match = DATETIME.exec(text)
  if (match === null) return undefined
  const [, date, time, cut, short = '', sign = '+', hours = '00', minutes = '00'] = match
  const local = `${date}T${time}.${cut ?? short.padEnd(3, '0')}Z`
  const millis = Date.parse(local)
  if (Number.isNaN(millis) || new Date(millis).toISOString() !== local) return undefined
  if (Number(hours) > 23 || Number(minutes) > 59) return undefined
  const offset = (Number(hours) * 60 + Number(minutes)) * MINUTE_MS
  const utc = new Date(sign === '-' ? millis + offset : millis - offset).toISOString()
  return /^\d{4}-/.test(utc) ? utc : undefined
}

/** Four decimal numbers without leading zeros. Neither a range nor another notation. */
export function ipv4Text(text: string): string | undefined {
  const parts = text.split('.')
  const legal = parts.length === 4 && parts.every((part) => IPV4_PART.test(part))
  return legal && parts.every((part) => Number(part) < 256) ? text : undefined
}

const IPV4_PART = /^(?:0|[1-9]\d{0,2})$/
const IPV4_MAPPED = /^::ffff:[\da-f]+:[\da-f]+$/

/**
 * RFC 5952 form of an IPv6 address. Neither a range nor a zone, and no IPv4 address in any of its IPv6 notations:
 * servers connect to that IPv4 address, and Cedar does not see it in an IPv4 range.
 */
export function ipv6Text(text: string): string | undefined {
  const url = /^[\da-f:]+$/i.test(text) ? URL.parse(`http://[${text}]/`) : null
  const address = url?.hostname.slice(1, -1)
  return address === undefined || IPV4_MAPPED.test(address) ? undefined : address
}
