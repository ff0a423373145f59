// Owns the keys that details are encrypted with: one per person and calendar month (UTC), wrapped
// in the database and opened only in memory. Deleting such a row later makes that person's month
// unreadable, and nothing else.
import { createSecretKey, type KeyObject } from 'node:crypto'
import type { Sql } from '../../../schemas/database/sql.ts'
import type { Random } from '../../../schemas/ports.ts'
import { NONCE_BYTES, type Vault } from '../keys/vault.ts'

export type SubjectKey = {
  /** `subject_key.ref`, as text. */
  readonly ref: string
  readonly key: KeyObject
  /** Pseudonym in base64. */
  readonly person: string
}

export type SubjectKeys = {
  /** Makes the keys of these users ready; `time` in ms since 1970 picks the month. */
  readonly prepare: (users: readonly (string | null)[], time: number) => Promise<void>
  /** The key that was made ready last for this user; undefined when none was. */
  readonly get: (user: string | null) => SubjectKey | undefined
}

/** Users whose key is kept in memory; the one made ready longest ago goes first. */
const KEPT_MAX = 20_000
const KEY_BYTES = 32

type Kept = SubjectKey & { readonly month: string }

export function createSubjectKeys(sql: Sql, vault: Vault, random: Random): SubjectKeys {
  const kept = new Map<string | null, Kept>()
  const underWay = new Map<string, Promise<void>>()
  return {
    get: (user) => kept.get(user),
    async prepare(users, time) {
      const month = new Date(time).toISOString().slice(0, 7)
      const missing = users.filter((user) => kept.get(user)?.month !== month)
      if (missing.length === 0) return
      await Promise.all([...new Set(missing)].map((user) => shared(user, month)))
    },
  }

  /** Whoever needs the same key meanwhile waits for the same two statements. */
  function shared(user: string | null, month: string): Promise<void> {
    const name = `${month} ${user === null ? '' : `user ${user}`}`
    const running = underWay.get(name)
    if (running !== undefined) return running
    const started = obtain(user, month).finally(() => underWay.delete(name))
    underWay.set(name, started)
    return started
  }

  async function obtain(user: string | null, month: string): Promise<void> {
    const person = vault.pseudonym(user)
    const row = (await find(person, month)) ?? (await make(person, month))
    const opened = vault.unwrap(person, month, row.wrapped)
    if (opened === undefined) {
      throw new Error('the data key in CEDARGATE_HOME is not the one this database was used with')
    }
    const key = createSecretKey(opened)
    const text = Buffer.from(person).toString('base64')
    kept.delete(user)
    kept.set(user, { ref: row.ref, key, person: text, month })
    const oldest = kept.keys().next()
    if (kept.size > KEPT_MAX && oldest.done !== true) kept.delete(oldest.value)
  }

  type Found = { readonly ref: string; readonly wrapped: Uint8Array }

  async function find(person: Uint8Array, month: string): Promise<Found | undefined> {
    const [row] = await sql.query(
      'select ref, wrapped from subject_key where person = $1 and month = $2',
      [person, month],
    )
    if (row === undefined) return undefined
    return { ref: String(row['ref']), wrapped: row['wrapped'] as Uint8Array }
  }

  /** Another PDP may make it at the same moment: whichever row is there in the end is the key. */
  async function make(person: Uint8Array, month: string): Promise<Found> {
    const wrapped = vault.wrap(person, month, random(KEY_BYTES), random(NONCE_BYTES))
    await sql.query(
      `insert into subject_key (person, month, wrapped) values ($1, $2, $3)
       on conflict (person, month) do nothing`,
      [person, month, wrapped],
    )
    const made = await find(person, month)
    if (made === undefined) throw new Error('a subject key was written and is not there')
    return made
  }
}
