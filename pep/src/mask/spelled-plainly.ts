// Owns spelling JSON text as JSON.stringify does, so that it can be searched: JSON can write every character as an escape.
// Pure; reads no structure, so that of members that are named twice both are spelled.

const [BACKSLASH, SLASH, U, QUOTE, SPACE] = [0x5c, 0x2f, 0x75, 0x22, 0x20]

/** `text` without the escapes that no character needs; a loop over code units, for a server may send megabytes of them. */
export function spelledPlainly(text: string): string {
  const units = new Uint16Array(text.length)
  let length = 0
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at)
    if (unit !== BACKSLASH) {
      units[length++] = unit
      continue
    }
    const escape = text.charCodeAt(at + 1)
    const code = escape === U ? Number.parseInt(text.slice(at + 2, at + 6), 16) : Number.NaN
    if (escape === SLASH) units[length++] = SLASH
    else if (Number.isNaN(code)) {
      units[length++] = BACKSLASH
      units[length++] = escape
    } else for (const one of unitsOf(code)) units[length++] = one
    at += Number.isNaN(code) ? 1 : 5
  }
  return Buffer.from(units.buffer, 0, length * 2).toString('utf16le')
}

function unitsOf(code: number): readonly number[] {
  if (code >= SPACE && code !== QUOTE && code !== BACKSLASH) return [code]
  const escape = JSON.stringify(String.fromCharCode(code)).slice(1, -1)
  return Array.from(escape, (one) => one.charCodeAt(0))
}
