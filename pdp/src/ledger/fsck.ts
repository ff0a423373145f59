// Owns checking the whole ledger against itself and the deployment key.
import type { FsckLine } from '../../../schemas/admin-api.ts'
import type { Sql } from '../../../schemas/database/sql.ts'
import type { Vault } from '../keys/vault.ts'

export type FsckPorts = {
  readonly store: { readonly sql: Sql }
  /** Raw Ed25519 public key. */
  readonly deploymentPublicKey: Uint8Array
  readonly vault: Vault
  /** Milliseconds since 1970: a hole younger than half a minute may still be filled. */
  readonly now: number
}

export declare function fsck(ports: FsckPorts): AsyncIterable<FsckLine>
