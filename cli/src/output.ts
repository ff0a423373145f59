// Owns how commands speak: data on stdout, messages on stderr, a table for people, JSON for programs.
import { clearLine, cursorTo } from 'node:readline'
import { styleText } from 'node:util'

export type Format = 'text' | 'json'

/** What a command writes to; tests pass their own. */
export type Terminal = {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  /** Writes over the last line of stderr, where that is a terminal; what comes by `err` then has a line of its own. */
  readonly update?: (text: string) => void
}

export const terminal: Terminal = {
  out: (text) => void process.stdout.write(`${text}\n`),
  err: (text) => void process.stderr.write(`${text}\n`),
  ...(process.stderr.isTTY ? { update } : {}),
}

function update(text: string): void {
  cursorTo(process.stderr, 0)
  clearLine(process.stderr, 1)
  process.stderr.write(text)
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

type Page<Row> = {
  readonly rows: readonly Row[]
  readonly columns: readonly Column<Row>[]
  readonly empty: string
  /** How many were asked for; with so many there may be more, behind the last one. */
  readonly limit: number
  /** The option that asks for those. */
  readonly next: string
}

/** As printRows; where there may be more, how to see them, on stderr. */
export function printPage<Row extends { readonly id: string }>(
  io: Terminal,
  format: Format,
  { rows, columns, empty, limit, next }: Page<Row>,
): void {
  printRows(io, format, rows, columns, empty)
  const last = rows.at(-1)
  if (rows.length === limit && last !== undefined) io.err(`more: ${next} ${printable(last.id)}`)
}

/** One thing whole: as JSON, or a line for each of its fields. */
export function printFields(io: Terminal, format: Format, fields: object): void {
  if (format === 'json') return io.out(JSON.stringify(fields, null, 2))
  const entries = Object.entries(fields)
  const width = Math.max(...entries.map(([name]) => name.length))
  for (const [name, value] of entries) {
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    io.out(`${name.padEnd(width)} ${printable(text)}`)
  }
}

/** What goes to stderr through it shows the same wherever its words are from: a server may have chosen some of an error's. */
export function withPrintableErrors(io: Terminal): Terminal {
  return { ...io, err: (text) => io.err(text.split('\n').map(printable).join('\n')) }
}

/** Text that came from a client or a server: control, bidi and line-breaking characters made visible. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => {
    return `\\u{${char.codePointAt(0)?.toString(16) ?? ''}}`
  })
}
