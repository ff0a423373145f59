// Owns the one way a room speaks SQL: a statement in, rows out. Types only; pdp/store and
// pep/record make the real ones.

export type Dialect = 'postgres' | 'pglite'

/**
 * bytea is a Uint8Array, int8 a number, timestamptz a Date, text[] an array of strings: the same on
 * both databases.
 */
export type Row = Readonly<Record<string, unknown>>

export type Sql = {
  readonly dialect: Dialect
  /**
   * Runs one statement in a transaction of its own; it is committed when the promise resolves. A
   * rejection means *unknown*, not *no*: the statement may have been committed. `name` makes it a
   * prepared statement: one name, one text.
   */
  readonly query: (text: string, params?: readonly unknown[], name?: string) => Promise<Row[]>
}

export type Statement = {
  readonly name: string
  readonly text: string
  readonly params: readonly unknown[]
}
