// Owns how commands speak: data on stdout, messages on stderr, a table for people, JSON for programs.
import { styleText } from 'node:util'

export type Format = 'text' | 'json'

/** What a command writes to; tests pass their own. */
export type Terminal = {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
}

export const terminal: Terminal = {
  out: (text) => void process.stdout.write(`${text}\n`),
  err: (text) => void process.stderr.write(`${text}\n`),
}

type Column<Row> = { readonly title: string; readonly of: (row: Row) => string }

/** Rows as JSON (an array, `[]` for none) or as an aligned table; for none, `empty` on stderr. */
export function printRows<Row>(
  io: Terminal,
  format: Format,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  empty: string,
): void {
  if (format === 'json') return io.out(JSON.stringify(rows, null, 2))
  if (rows.length === 0) return io.err(empty)
  const cells = rows.map((row) => columns.map(({ of }) => printable(of(row))))
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...cells.map((row) => row[index]?.length ?? 0)),
  )
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, index) => text.padEnd(widths[index] ?? 0))
      .join('  ')
      .trimEnd()
  io.out(styleText('bold', line(columns.map(({ title }) => title))))
  for (const row of cells) io.out(line(row))
}

/** Text that came from a client or a server: control, bidi and line-breaking characters made visible. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => {
    return `\\u{${char.codePointAt(0)?.toString(16) ?? ''}}`
  })
}
