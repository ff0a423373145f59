// Owns the values of headers that repeat the body: what a header cannot carry travels as `=?base64?…?=` (specification
// 2026-07-28, Streamable HTTP).

const PLAIN = /^[\x20-\x7e]*$/
const CODED = /^=\?base64\?(.*)\?=$/

/** The text that a header says; undefined for what is not its one encoding. */
export function decodeHeader(header: string): string | undefined {
  const coded = CODED.exec(header)?.[1]
  if (coded === undefined) return PLAIN.test(header) ? header : undefined
  const bytes = Buffer.from(coded, 'base64')
  const text = bytes.toString('utf8')
  const isCanonical = bytes.toString('base64') === coded && Buffer.from(text).equals(bytes)
  return isCanonical ? text : undefined
}

/** A header that says `text`. */
export function encodeHeader(text: string): string {
  if (PLAIN.test(text) && text.trim() === text && !CODED.test(text)) return text
  return `=?base64?${Buffer.from(text).toString('base64')}?=`
}
