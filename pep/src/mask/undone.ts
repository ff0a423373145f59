// Owns undoing what writers of JSON, of addresses and of HTML do to characters, to any depth and in any mixture, so that a
// text can be searched. Pure. Never answers the text itself: backslashes are gone, and some characters come out alike.

const codeOf = (character: string) => character.charCodeAt(0)
const [BACKSLASH, PERCENT, AMPERSAND, SEMICOLON] = [0x5c, 0x25, 0x26, 0x3b]
const [HASH, U, X, CASE] = [0x23, 0x75, 0x78, 0x20]
/** What JSON writes as a backslash and a letter comes out as that letter, for the backslash is gone. */
const LETTERS = Uint8Array.from({ length: 256 }, (_, code) => {
  const [escape, letter = ''] = JSON.stringify(String.fromCharCode(code)).slice(1, -1)
  return escape === '\\' && 'bfnrt'.includes(letter) && letter !== '' ? codeOf(letter) : code
})
/** Not 0 for what may begin an escape. */
const BEGINS = Uint8Array.from({ length: 256 }, (_, code) =>
  Number([BACKSLASH, PERCENT, AMPERSAND].includes(code)),
)
/** Not 0 for what an escape is made of, also one whose own characters are escaped. */
const IN_ESCAPE = Uint8Array.from({ length: 256 }, (_, code) =>
  Number(/[\\%&#;\da-z]/i.test(String.fromCharCode(code))),
)
/** Not 0 for what neither begins an escape nor comes out as another character. */
const IS_PLAIN = Uint8Array.from({ length: 256 }, (_, code) =>
  Number(BEGINS[code] === 0 && LETTERS[code] === code),
)
const NAMES = ['amp;', 'lt;', 'gt;', 'quot;', 'apos;'].map((name) => new TextEncoder().encode(name))
const NAMED = Array.from('&<>"\'', codeOf)
const DIGITS_MAX = 8
const CODE_POINT_MAX = 0x10_ff_ff
const DIGITS = Int8Array.from({ length: 256 }, (_, code) => {
  const digit = Number.parseInt(String.fromCharCode(code), 16)
  return Number.isNaN(digit) ? -1 : digit
})

export type Undone = {
  readonly bytes: Uint8Array
  /** Where in the source each character begins, and the end of the last one. Empty unless asked for. */
  readonly places: Uint32Array
}

/** Whether there is anything to undo. */
export function hasEscapes(source: Buffer): boolean {
  return [BACKSLASH, PERCENT, AMPERSAND].some((one) => source.includes(one))
}

/** Where the escapes at its end begin: what they say is known when more has come. Its length where there are none. */
export function lastEscapes(source: Uint8Array): number {
  let first = source.length
  for (let at = first - 1; at >= 0 && IN_ESCAPE[source[at] as number] !== 0; at -= 1)
    if (BEGINS[source[at] as number] !== 0) first = at
  return first
}

/** `source` is UTF-8. Read from its end, so that an escape whose own characters are escaped is undone too; linear. */
export function undone(source: Uint8Array, isPlaced = false): Undone {
  const bytes = new Uint8Array(source.length)
  const places = new Uint32Array(isPlaced ? source.length + 1 : 0)
  let from = source.length
  if (isPlaced) places[from] = from
  for (let at = source.length - 1; at >= 0; at -= 1) {
    // Most of a text is as it is; a loop of its own takes half the time.
    for (; at >= 0 && IS_PLAIN[source[at] as number] !== 0; at -= 1) {
      from -= 1
      bytes[from] = source[at] as number
      if (isPlaced) places[from] = at
    }
    if (at < 0) break
    bytes[from - 1] = LETTERS[source[at] as number] as number
    from = undoneAt(bytes, from - 1)
    if (isPlaced) places[from] = at
  }
  return { bytes: bytes.subarray(from), places: places.subarray(from) }
}

/** Undoes what begins at `from`, and what begins there then; answers where what is left begins. */
function undoneAt(bytes: Uint8Array, from: number): number {
  let at = from
  for (;;) {
    if (bytes[at] === BACKSLASH && bytes[at + 1] !== U) return at + 1
    const next = afterOne(bytes, at)
    if (next === at) return at
    at = next
  }
}

function afterOne(bytes: Uint8Array, at: number): number {
  const first = bytes[at]
  if (first === PERCENT) {
    const code = hexAt(bytes, at + 1, 2)
    return code < 0 ? at : write(bytes, at + 3, code, 1)
  }
  if (first === AMPERSAND) return afterEntity(bytes, at)
  return first === BACKSLASH ? afterBackslash(bytes, at) : at
}

function afterBackslash(bytes: Uint8Array, at: number): number {
  const code = bytes[at + 1] === U ? hexAt(bytes, at + 2, 4) : -1
  if (code < 0) return at + 1
  const low = isHigh(code) ? lowAt(bytes, at + 6) : -1
  if (low < 0) return writeCharacter(bytes, at + 6, code)
  return writeCharacter(bytes, at + 9, 0x1_00_00 + ((code & 0x3_ff) << 10) + low)
}

function isHigh(code: number): boolean {
  return code >= 0xd8_00 && code < 0xdc_00
}

/** The bits of a low surrogate that was written as three bytes of its own. */
function lowAt(bytes: Uint8Array, at: number): number {
  const [first = 0, second = 0, third = 0] = [bytes[at], bytes[at + 1], bytes[at + 2]]
  return first === 0xed && second >= 0xb0 ? ((second & 0xf) << 6) | (third & 0x3f) : -1
}

function afterEntity(bytes: Uint8Array, at: number): number {
  if (bytes[at + 1] !== HASH) {
    for (let index = 0; index < NAMES.length; index += 1) {
      const name = NAMES[index] as Uint8Array
      if (bytes[at + 1] === name[0] && startsWith(bytes, at + 1, name))
        return write(bytes, at + 1 + name.length, NAMED[index] as number, 1)
    }
    return at
  }
  const base = ((bytes[at + 2] ?? 0) | CASE) === X ? 16 : 10
  const from = at + (base === 16 ? 3 : 2)
  let code = 0
  for (let end = from; end <= from + DIGITS_MAX; end += 1) {
    if (bytes[end] === SEMICOLON && end > from && code <= CODE_POINT_MAX)
      return writeCharacter(bytes, end + 1, code)
    const digit = DIGITS[bytes[end] ?? 0] as number
    if (digit < 0 || digit >= base) return at
    code = code * base + digit
  }
  return at
}

/** The number that so many hexadecimal digits say; -1 where they are none. */
function hexAt(bytes: Uint8Array, at: number, count: number): number {
  let code = 0
  for (let index = at; index < at + count; index += 1) {
    const digit = index < bytes.length ? (DIGITS[bytes[index] as number] as number) : -1
    if (digit < 0) return -1
    code = code * 16 + digit
  }
  return code
}

/** As UTF-8, of which no character has more bytes than its shortest escape. */
function writeCharacter(bytes: Uint8Array, end: number, code: number): number {
  if (code < 0x80) return write(bytes, end, code, 1)
  if (code < 0x8_00) return write(bytes, end, code, 2)
  return write(bytes, end, code, code < 0x1_00_00 ? 3 : 4)
}

/** In so many bytes before `end`; answers where they begin. */
function write(bytes: Uint8Array, end: number, code: number, count: number): number {
  let rest = code
  for (let at = end - 1; at > end - count; at -= 1) {
    bytes[at] = 0x80 | (rest & 0x3f)
    rest >>= 6
  }
  const lead = count === 1 ? 0 : (0xf_00 >> count) & 0xff
  bytes[end - count] = count === 1 ? (LETTERS[code] as number) : lead | rest
  return end - count
}

function startsWith(bytes: Uint8Array, at: number, form: Uint8Array): boolean {
  if (at + form.length > bytes.length) return false
  for (let index = 0; index < form.length; index += 1)
    if (bytes[at + index] !== form[index]) return false
  return true
}
