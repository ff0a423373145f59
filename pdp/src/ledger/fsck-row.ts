// Owns checking one stored row against itself: bytes, hash, shape, columns, signature, detail. No
// I/O.
import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { isCanonicalJson } from '../../../schemas/canonical-json.ts'
import type { Row } from '../../../schemas/database/sql.ts'
import { type Leaf, leafColumns, leaf as leafSchema, type OpenLeaf } from '../../../schemas/leaf.ts'
import { LEAF_BYTES_MAX } from '../../../schemas/limits.ts'
import { keyIdOf } from '../keys/keys.ts'
import type { Vault } from '../keys/vault.ts'
import { commit, type Field } from './commitments.ts'
import { leafHash, openMessage } from './instance.ts'
import { openDetail } from './open-detail.ts'
import { subjectText } from './seal-decision.ts'

export type Check =
  | 'leaf_form'
  | 'leaf_hash'
  | 'column'
  | 'instance_key'
  | 'signature'
  | 'chain'
  | 'detail'
  | 'commitment'
  | 'person'
  | 'pending'
  | 'bundle'
export type Finding = { readonly id: string; readonly check: Check; readonly message: string }
export type Report = (check: Check, message: string) => void

/** The instance key that an epoch's announcement admitted. */
export type InstanceKey = { readonly epoch: string; readonly id: string; readonly key: KeyObject }

export type Trust = { readonly deployment: KeyObject; readonly deploymentId: string }

/** An Ed25519 key from its 32 raw bytes; throws on anything else. */
export function ed25519Key(raw: Uint8Array): KeyObject {
  const x = Buffer.from(raw).toString('base64url')
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
}

/**
 * The leaf the row holds, or undefined when its bytes are none; what is wrong with bytes and
 * columns is reported.
 */
export function readLeaf(row: Row, report: Report): Leaf | undefined {
  const bytes = row['leaf'] as Uint8Array
  if (!leafHash(bytes).equals(row['leaf_hash'] as Uint8Array)) {
    report('leaf_hash', 'the leaf hash is not that of the leaf')
  }
  if (bytes.length > LEAF_BYTES_MAX) {
    report('leaf_form', `the leaf is larger than ${LEAF_BYTES_MAX} bytes`)
    return undefined
  }
  const text = Buffer.from(bytes).toString('utf8')
  if (!Buffer.from(text).equals(bytes) || !isCanonicalJson(text)) {
    report('leaf_form', 'the leaf is not canonical JSON')
    return undefined
  }
  const read = leafSchema.safeParse(JSON.parse(text))
  if (!read.success) {
    const issue = read.error.issues[0]
    report('leaf_form', `the leaf has no known shape: ${issue?.path.join('.')} ${issue?.message}`)
    return undefined
  }
  compareColumns(read.data, row, report)
  return read.data
}

function compareColumns(leaf: Leaf, row: Row, report: Report): void {
  const { at, seq, policies, ...texts } = leafColumns(leaf)
  const expected = { ...texts, at_ms: String(at), seq_text: String(seq) }
  for (const [name, value] of Object.entries(expected)) {
    if (row[name] !== value)
      report('column', `the column ${columnOf(name)} is not what the leaf says`)
  }
  if (JSON.stringify(row['policies']) !== JSON.stringify(policies)) {
    report('column', 'the column policies is not what the leaf says')
  }
}

function columnOf(name: string): string {
  return name === 'at_ms' ? 'at' : name === 'seq_text' ? 'seq' : name
}

/** The key an announcement admits, if it is signed by the deployment key for this very epoch. */
export function admittedKey(leaf: OpenLeaf, trust: Trust, report: Report): InstanceKey | undefined {
  const raw = Buffer.from(leaf.pub, 'base64')
  const signed = openMessage(leaf.ep, raw)
  const admitted =
    raw.length === 32 &&
    leaf.dep === trust.deploymentId &&
    verify(null, signed, trust.deployment, Buffer.from(leaf.dsig, 'base64'))
  if (!admitted) {
    report('instance_key', 'an instance key is announced that the deployment key did not sign')
    return undefined
  }
  return { epoch: leaf.ep, id: keyIdOf(raw), key: ed25519Key(raw) }
}

/** Whether the row was signed by its epoch's instance key. */
export function isSigned(
  leaf: Leaf,
  row: Row,
  key: InstanceKey | undefined,
  report: Report,
): boolean {
  if (key === undefined || key.epoch !== leaf.ep) {
    report('instance_key', `no instance key is announced for epoch ${leaf.ep}`)
    return false
  }
  const signed = leafHash(row['leaf'] as Uint8Array)
  if (leaf.pdp === key.id && verify(null, signed, key.key, row['sig'] as Uint8Array)) return true
  report('signature', 'the signature is not by the instance key of its epoch')
  return false
}

/** A decision and an act have a detail that opens and fits its commitments; no other leaf has one. */
export function checkDetail(leaf: Leaf, row: Row, vault: Vault, report: Report): void {
  if (leaf.k !== 'decision' && leaf.k !== 'act') {
    if (row['detail_id'] !== null) report('detail', `a leaf of kind ${leaf.k} has a detail`)
    if (row['person'] !== null) report('person', `a leaf of kind ${leaf.k} names a person`)
    return
  }
  if (row['detail_id'] === null) return report('detail', 'the detail is missing')
  const detail = openDetail(vault, row, leaf.id, leafHash(row['leaf'] as Uint8Array))
  if (detail === undefined) return report('detail', 'the detail does not decrypt')
  const found = commit(detail.salt, detail.values)
  for (const [field, value] of Object.entries(leaf.c)) {
    if (found[field as Field] !== value)
      report('commitment', `${field} is not what was committed to`)
  }
  checkPerson(detail.values.sub, row, vault, report)
}

function checkPerson(sub: string, row: Row, vault: Vault, report: Report): void {
  const { user } = JSON.parse(sub) as { user: string | null }
  if (subjectText(user) !== sub) report('detail', 'the subject of the detail is not canonical')
  const pseudonym = vault.pseudonym(user)
  const person = row['person'] as Uint8Array | null
  const expected = user === null ? null : pseudonym
  if (!sameBytes(person, expected)) report('person', 'the person is not the pseudonym of the user')
  if (!sameBytes(row['key_person'] as Uint8Array, pseudonym)) {
    report('person', 'the detail is under the key of another person')
  }
}

function sameBytes(left: Uint8Array | null, right: Uint8Array | null): boolean {
  if (left === null || right === null) return left === right
  return Buffer.from(left).equals(right)
}
