// Owns the words between the engine and its worker threads. No behaviour.
import type {
  CedarTexts,
  EngineAnswer,
  PackedGeneration,
  PolicyJson,
} from '../../../schemas/cedar.ts'

/** What a worker is started with. The module is compiled once and shared. */
export type WorkerStart = { readonly module: WebAssembly.Module }

/** One Cedar call as a worker is given it. */
export type WorkerCall = {
  readonly policySet: string
  readonly schema: string
  readonly texts: CedarTexts
}

/** A worker handles one message at a time and answers it with exactly one WorkerAnswer. */
export type WorkerMessage =
  | { readonly kind: 'identify' }
  | { readonly kind: 'activate'; readonly generation: PackedGeneration }
  | { readonly kind: 'evaluate'; readonly calls: readonly WorkerCall[] }
  | { readonly kind: 'parse'; readonly texts: readonly string[] }
  | { readonly kind: 'print'; readonly policies: readonly PolicyJson[] }
  | { readonly kind: 'check'; readonly schemas: readonly string[] }
  | { readonly kind: 'schemas'; readonly texts: readonly string[] }
  | { readonly kind: 'entities'; readonly schema: string; readonly texts: readonly string[] }
  | {
      readonly kind: 'validate'
      readonly schema: string
      readonly policies: Readonly<Record<string, string>>
    }
  | { readonly kind: 'format'; readonly texts: readonly string[] }
  | { readonly kind: 'writeSchema'; readonly schema: string }

/**
 * `answered`: one answer per call. `died`: the wasm instance is gone; `answers` are those before it, and the call
 * after them is the one that killed it. `throws`: Cedar calls that threw, of which each leaks stack.
 */
export type WorkerAnswer =
  | { readonly kind: 'identified'; readonly version: string }
  | { readonly kind: 'activated' }
  | {
      readonly kind: 'answered'
      readonly answers: readonly EngineAnswer[]
      readonly throws: number
    }
  | { readonly kind: 'died'; readonly answers: readonly EngineAnswer[]; readonly cause: string }
  | { readonly kind: 'parsed'; readonly policies: readonly ParsedPolicy[] }
  | { readonly kind: 'printed'; readonly texts: readonly string[] }
  | { readonly kind: 'checked'; readonly problems: readonly (string | null)[] }
  | { readonly kind: 'schemas'; readonly schemas: readonly ParsedSchema[] }
  | { readonly kind: 'entities'; readonly problems: readonly (string | null)[] }
  | { readonly kind: 'validated'; readonly problems: readonly PolicyProblem[] }
  | { readonly kind: 'formatted'; readonly texts: readonly (string | null)[] }
  | { readonly kind: 'schemaWritten'; readonly text: string }
  | { readonly kind: 'failed'; readonly message: string }

export type ParsedPolicy =
  | { readonly ok: true; readonly policy: PolicyJson }
  | { readonly ok: false; readonly problem: CedarProblem }

/** `json` is the schema in Cedar's JSON form; `resolved` the same with every type name written out. */
export type ParsedSchema =
  | { readonly ok: true; readonly json: object; readonly resolved: object }
  | { readonly ok: false; readonly problem: CedarProblem }

/** What Cedar finds in a policy text; `start` is a byte offset into that text. */
export type CedarProblem = { readonly message: string; readonly start: number }
export type PolicyProblem = CedarProblem & {
  readonly policy: string
  readonly severity: 'error' | 'warning'
}
