// Owns reading policy and schema texts that nobody has checked yet, in a thread of their own: text can kill a wasm
// instance, and this one is thrown away. Never activates anything.
import type { PolicyJson } from '../../../schemas/cedar.ts'
import type { EngineIdentity } from './engine.ts'
import { identify } from './engine.ts'
import type {
  ParsedPolicy,
  ParsedSchema,
  PolicyProblem,
  WorkerAnswer,
  WorkerMessage,
} from './messages.ts'
import { startThread } from './thread.ts'
import { loadCedarWasm } from './wasm.ts'

/** Reading or validating a whole bundle (thousands of policies against hundreds of tools take seconds). */
const CANDIDATE_TIMEOUT_MS = 60_000

export type Candidate = {
  readonly identity: EngineIdentity
  /** Each text as one policy. Ends early, with the culprit last, at a text that Cedar cannot survive. */
  readonly parse: (texts: readonly string[]) => Promise<readonly ParsedPolicy[]>
  /** Cedar's own one-line text of each policy. */
  readonly print: (policies: readonly PolicyJson[]) => Promise<readonly string[]>
  /** Per schema (JSON text), why Cedar cannot read it; null when it can. */
  readonly check: (schemas: readonly string[]) => Promise<readonly (string | null)[]>
  /** Each text as a schema in Cedar's human syntax. */
  readonly schemas: (texts: readonly string[]) => Promise<readonly ParsedSchema[]>
  /** Per list of entities (JSON text), why it does not fit the schema (JSON text); null when it does. */
  readonly entities: (
    schema: string,
    texts: readonly string[],
  ) => Promise<readonly (string | null)[]>
  /** Strict validation of policies (id → text) against a schema (JSON text): errors and warnings. */
  readonly validate: (
    schema: string,
    policies: Readonly<Record<string, string>>,
  ) => Promise<readonly PolicyProblem[]>
  /** Each policy file as Cedar lays it out; null: it does not take it. Ends early as `parse` does. */
  readonly format: (texts: readonly string[]) => Promise<readonly (string | null)[]>
  /** A schema (JSON text) in the syntax of a .cedarschema file. */
  readonly writeSchema: (schema: string) => Promise<string>
  readonly close: () => Promise<void>
}

/** A throw-away Cedar. Every method throws when the thread is lost or Cedar refuses the whole input. */
export async function startCandidate(): Promise<Candidate> {
  const wasm = await loadCedarWasm()
  const thread = startThread(wasm.module)
  const identity = await identify(thread, wasm).catch(async (error: unknown) => {
    await thread.stop()
    throw error
  })

  async function ask<Kind extends WorkerAnswer['kind']>(
    message: WorkerMessage,
    kind: Kind,
  ): Promise<Extract<WorkerAnswer, { kind: Kind }>> {
    const answer = await thread.ask(message, CANDIDATE_TIMEOUT_MS)
    if (answer.kind === kind) return answer as Extract<WorkerAnswer, { kind: Kind }>
    throw new Error(answer.kind === 'failed' ? answer.message : `unexpected ${answer.kind}`)
  }

  return {
    identity,
    parse: async (texts) => (await ask({ kind: 'parse', texts }, 'parsed')).policies,
    print: async (policies) => (await ask({ kind: 'print', policies }, 'printed')).texts,
    check: async (schemas) => (await ask({ kind: 'check', schemas }, 'checked')).problems,
    schemas: async (texts) => (await ask({ kind: 'schemas', texts }, 'schemas')).schemas,
    entities: async (schema, texts) =>
      (await ask({ kind: 'entities', schema, texts }, 'entities')).problems,
    validate: async (schema, policies) =>
      (await ask({ kind: 'validate', schema, policies }, 'validated')).problems,
    format: async (texts) => (await ask({ kind: 'format', texts }, 'formatted')).texts,
    writeSchema: async (schema) =>
      (await ask({ kind: 'writeSchema', schema }, 'schemaWritten')).text,
    close: () => thread.stop(),
  }
}
