// Owns how a run is shown: the table with ratios to the bare proxy. Pure.
import type { Arm, Measured, Spread } from './measure.ts'

/** The arm that all others are compared with. */
const YARDSTICK = 'b'

/** One row of results: throughput as a part of the yardstick's, p50 as what is added to it, at the same connections. */
export type Row = Measured & { readonly ratio: number; readonly addedP50Us: number }

export function compared(measured: readonly Measured[]): Row[] {
  return measured.map((row) => {
    const against = measured.find(
      (other) => other.arm === YARDSTICK && other.connections === row.connections,
    )
    return {
      ...row,
      ratio: row.perSecond.median / (against?.perSecond.median ?? Number.NaN),
      addedP50Us: row.p50Us.median - (against?.p50Us.median ?? Number.NaN),
    }
  })
}

export function table(arms: readonly Arm[], rows: readonly Row[], commitUs: Spread): string {
  const head = ['', 'connections', 'calls/s', '× (b)', 'p50 ms', 'over (b) ms', 'p99 ms']
  const body = rows.map((row) => [
    arms.find((arm) => arm.key === row.arm)?.label ?? row.arm,
    String(row.connections),
    range(row.perSecond, 1, 0),
    row.ratio.toFixed(2),
    range(row.p50Us, 1000, 2),
    (row.addedP50Us / 1000).toFixed(2),
    range(row.p99Us, 1000, 1),
  ])
  const commit = ['one commit alone', '1', '', '', range(commitUs, 1000, 2), '', '']
  return aligned([head, ...body, commit])
}

/** `median (smallest–largest)`, divided by `unit`. */
function range(of: Spread, unit: number, digits: number): string {
  const [median, min, max] = [of.median, of.min, of.max].map((v) => (v / unit).toFixed(digits))
  return `${median} (${min}–${max})`
}

function aligned(lines: readonly (readonly string[])[]): string {
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  )
  return lines
    .map((line) =>
      line
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
