// Owns what can be wrong with a bundle, and how that is told: always a file, a line and a column.

/** `line` and `column` count from 1; 1:1 when the whole file is meant. `file` is relative to the bundle. */
export type Finding = {
  readonly severity: 'error' | 'warning'
  readonly file: string
  readonly line: number
  readonly column: number
  readonly message: string
}

/** A bundle that cannot be used, with everything that was found; the message lists the errors, one a line. */
export class BundleError extends Error {
  readonly findings: readonly Finding[]
  constructor(findings: readonly Finding[]) {
    super(
      findings
        .filter(({ severity }) => severity === 'error')
        .map(findingLine)
        .join('\n'),
    )
    this.name = 'BundleError'
    this.findings = findings
  }
}

/** `cedar/team.cedar:3:12: message`, as compilers write it. */
export function findingLine({ file, line, column, message }: Finding): string {
  return `${file}:${line}:${column}: ${message}`
}

/** An error about a place in a text, or about a whole file. */
export function errorAt(file: string, message: string, at: Place = START): Finding {
  return { severity: 'error', file, ...at, message }
}

export type Place = { readonly line: number; readonly column: number }
const START: Place = { line: 1, column: 1 }

/** Where the UTF-16 `offset` lies in `text`. A column counts UTF-16 units, as editors do. */
export function placeOf(text: string, offset: number): Place {
  const before = text.slice(0, offset)
  const lineStart = before.lastIndexOf('\n') + 1
  return { line: before.split('\n').length, column: before.length - lineStart + 1 }
}
