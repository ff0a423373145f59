// Owns a ledger for tests: real keys in memory, a clock that the test turns, and decisions to seal.
import { createSecretKey, generateKeyPairSync, hash, randomBytes, sign } from 'node:crypto'
import { newKeyLine, parseKeks } from '../../pdp/src/keys/key-file.ts'
import { type Keys, keyIdOf, rawPublicKey } from '../../pdp/src/keys/keys.ts'
import { createVault } from '../../pdp/src/keys/vault.ts'
import { type Ledger, openLedger } from '../../pdp/src/ledger/ledger.ts'
import type { DecisionInput } from '../../pdp/src/ledger/types.ts'
import { appendStatement } from '../../schemas/database/append.ts'
import type { Sql } from '../../schemas/database/sql.ts'
import type { SignedRecord } from '../../schemas/leaf.ts'
import type { Clock } from '../../schemas/ports.ts'

/** What decisions here are decided by: an id that is that of its content. */
export const BUNDLE_CONTENT = '{"name":"test"}'
export const BUNDLE_ID = hash('sha256', BUNDLE_CONTENT)

export const ENGINE = { n: 'cedar-wasm', v: '4.13.0', h: 'e'.repeat(64) }

export type TestClock = Clock & { readonly advance: (ms: number) => void }

/** Starts at `start` (ms since 1970) and moves only when told. */
export function testClock(start = Date.UTC(2026, 10, 22, 12)): TestClock {
  let passed = 0
  return {
    now: () => start + passed,
    monotonic: () => passed,
    advance: (ms) => {
      passed += ms
    },
  }
}

/** New keys, as loadKeys would give them. */
export function testKeys(): Keys {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = rawPublicKey(publicKey)
  const keks = parseKeks(newKeyLine(), 'the keys of this test')
  return {
    deployment: {
      id: keyIdOf(raw),
      publicKey: raw,
      sign: async (message) => sign(null, message, privateKey),
    },
    vault: createVault(createSecretKey(randomBytes(32)).export()),
    keks: { source: 'the keys of this test', read: async () => keks },
  }
}

export function openTestLedger(
  sql: Sql,
  keys: Keys = testKeys(),
  clock: Clock = testClock(),
): Promise<Ledger> {
  return openLedger({
    store: { sql },
    keys,
    engine: ENGINE,
    clock,
    random: (bytes) => randomBytes(bytes),
  })
}

type Change = Partial<Omit<DecisionInput, 'authorization'>> & {
  readonly authorization?: Partial<DecisionInput['authorization']>
}

/** A permitted `tools/call` of alice's agent, with what the test changes about it. */
export function decisionInput(change: Change = {}): DecisionInput {
  return {
    pep: 'pep-1',
    user: 'alice',
    agent: 'ci-fixer',
    grantId: '01930000-0000-7000-8000-000000000001',
    server: 'files',
    method: 'tools/call',
    definition: 'd'.repeat(64),
    bundle: BUNDLE_ID,
    digests: { policySet: '1'.repeat(64), schema: '2'.repeat(64), mapper: '3'.repeat(64) },
    time: Date.UTC(2026, 10, 22, 12),
    mode: 'enforced',
    identity: 'f'.repeat(64),
    ...change,
    authorization: {
      decision: 'allow',
      code: 'permit',
      policies: ['platform/reads', 'engineering/drafts'],
      errors: [],
      shadow: null,
      tool: 'write_file',
      cedar: {
        request: '{"principal":{"type":"MCP::User","id":"alice"}}',
        context: '{"args":{"path":"drafts/ä.txt"}}',
        entities: '[]',
      },
      arguments: '{"path":"drafts/ä.txt"}',
      ...change.authorization,
    },
  }
}

/** Writes records as a PEP does. */
export async function appendAs(sql: Sql, records: readonly SignedRecord[]): Promise<void> {
  const { text, params, name } = appendStatement(sql.dialect, records)
  await sql.query(text, params, name)
}

/**
 * A database that fails the next `times` statements: before running them, or after, when only the
 * answer is lost.
 */
export function faultySql(sql: Sql, times: number, written: boolean): Sql {
  let left = times
  return {
    dialect: sql.dialect,
    query: async (text, params, name) => {
      if (left === 0) return sql.query(text, params, name)
      left--
      if (written) await sql.query(text, params, name)
      throw new Error('connection lost')
    },
  }
}

/** The same for one statement: the first that matches after `skip` others that did. */
export function faultyAt(sql: Sql, pattern: RegExp, written: boolean, skip = 0): Sql {
  let matches = 0
  return {
    dialect: sql.dialect,
    query: async (text, params, name) => {
      if (!pattern.test(text) || matches++ !== skip) return sql.query(text, params, name)
      if (written) await sql.query(text, params, name)
      throw new Error('connection lost')
    },
  }
}
