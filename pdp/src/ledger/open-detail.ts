// Owns opening what a row stores of a decision or an act: its leaf, and its encrypted detail. Never checks one against
// the other: fsck does.
import { createSecretKey } from 'node:crypto'
import type { Row } from '../../../schemas/database/sql.ts'
import type { Vault } from '../keys/vault.ts'
import { type Detail, decryptDetail } from './detail.ts'

/** What a row must bring along: the detail, and the subject key it names. */
export const DETAIL_COLUMNS = 'd.ct, k.person as key_person, k.month as key_month, k.wrapped'
export const DETAIL_JOINS = `left join record_detail d on d.id = r.id
  left join subject_key k on k.ref = d.key_ref`

/** Undefined when there is no detail, no key for it, or one that does not fit. */
export function openDetail(
  vault: Vault,
  row: Row,
  id: string,
  leafHash: Uint8Array,
): Detail | undefined {
  const { ct, key_person: person, key_month: month, wrapped } = row as DetailRow
  if (ct === null || person === null || month === null || wrapped === null) return undefined
  const key = vault.unwrap(person, month, wrapped)
  if (key === undefined) return undefined
  return decryptDetail({ key: createSecretKey(key), id, leafHash }, ct)
}

/** A stored leaf as JSON; undefined when its bytes are none: then it is no leaf. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    return undefined
  }
}

type DetailRow = {
  readonly ct: Uint8Array | null
  readonly key_person: Uint8Array | null
  readonly key_month: string | null
  readonly wrapped: Uint8Array | null
}
