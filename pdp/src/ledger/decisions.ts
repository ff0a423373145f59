// Owns reading decisions back for people: newest first, details decrypted.
import type { DecisionRow, DecisionsQuery } from '../../../schemas/admin-api.ts'
import type { Sql } from '../../../schemas/database/sql.ts'
import type { Vault } from '../keys/vault.ts'

export type DecisionsPorts = { readonly store: { readonly sql: Sql }; readonly vault: Vault }

export declare function listDecisions(ports: DecisionsPorts, query: DecisionsQuery): Promise<DecisionRow[]>
export declare function showDecision(ports: DecisionsPorts, id: string): Promise<DecisionRow | undefined>
