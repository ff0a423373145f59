// Owns the words that go into and come out of one authorization. No behaviour.
import type { CedarTexts, EngineAnswer, Evaluation } from '../../../schemas/cedar.ts'
import type { VerdictCode } from '../../../schemas/codes.ts'
import type { Era, ItemAction, Sender } from '../../../schemas/mcp.ts'
import type { Visible } from '../../../schemas/pep-api.ts'
import type { Ceilings } from '../../../schemas/scopes.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { ContextReads } from './context-paths.ts'
import type { VariantArguments } from './tool-arguments.ts'

/** One message to decide. Who is asking has been settled by then; nothing of the caller's own claims is in it. */
export type AuthorizationRequest = {
  /** The person; null: the agent acts for nobody, and the principal is the Agent. */
  readonly user: string | null
  /** Teams of the person; ignored when `user` is null. */
  readonly teams: readonly string[]
  readonly agent: string
  /** null: an advisory question, or the gateway's own discovery. `expiresAt` in milliseconds since 1970. */
  readonly grant: { readonly id: string; readonly expiresAt: number } | null
  /** What user, agent and grant may do at most; NO_CEILINGS for the gateway itself. */
  readonly scopes: Ceilings
  readonly server: string
  /** Who sent the message: a server asks something of the client that speaks for this person and agent. */
  readonly from: Sender
  /** A method of schemas/mcp.ts. */
  readonly method: string
  /** `params` of the message, as parseStrictJson gave it. */
  readonly params: JsonObject | undefined
  /** Fingerprint of the tool's definition as the server serves it now; null: none was seen. */
  readonly definition: string | null
  /** false for advisory questions: the reviewed definition is assumed. */
  readonly definitionRequired: boolean
  /** Milliseconds since 1970. */
  readonly time: number
  readonly era: Era
  readonly sourceIp: string | null
}

/** A verdict and what brought it about; ids are sorted. */
export type Outcome = {
  readonly decision: 'allow' | 'deny'
  readonly code: VerdictCode
  readonly policies: readonly string[]
  readonly errors: readonly string[]
}

/** The answer to one request. A deny is a value; nothing here says that the decision was recorded. */
export type Authorization = Outcome & {
  /** What the decision would be if the shadow policies were enforced too; null where none could apply. */
  readonly shadow: Outcome | null
  /** Tool name for tools/call, even when no such tool is known. */
  readonly tool: string | null
  /** Why, for the person at the client; '' on an allow. Names argument paths, never a value. */
  readonly detail: string
  /** The caller must not learn that there is such a tool: they get the answer of one that does not exist. */
  readonly concealed: boolean
  /** What a list answer may show: for methods with `filter` in schemas/mcp.ts, when allowed. */
  readonly visible: Visible | null
  /**
   * The Cedar request as JSON texts, whole; '' each when Cedar was not reached. The engine was given that part of the
   * context which the policies of this action can read: evaluating all policies on all of it gives the same answer.
   */
  readonly cedar: CedarTexts
  /** Exact JSON text of `params.arguments`; '' when there are none. */
  readonly arguments: string
}

/** What createAuthorizer needs of an engine. The answers come in the order of the batch. */
export type Evaluator = {
  readonly evaluate: (batch: readonly Evaluation[]) => Promise<readonly EngineAnswer[]>
}

/** What createAuthorizer needs of a bundle; all of it is made when the bundle is read. */
export type AuthorizerBundle = {
  readonly generation: { readonly id: string }
  readonly policies: ReadonlyMap<string, { readonly reason: string | null }>
  readonly base: AuthorizerBundle['policies']
  readonly servers: ReadonlyMap<string, DecidedServer>
}

export type DecidedServer = {
  readonly concealment: 'explain' | 'unknown'
  readonly tools: ReadonlyMap<string, DecidedTool>
  readonly actions: { readonly [action in 'connect' | ItemAction]: ActionKeys }
}

/** `latest`: fingerprint of the variant that advisory questions are about. */
export type DecidedTool = {
  readonly name: string
  readonly action: string
  readonly keys: ActionKeys
  readonly variants: ReadonlyMap<string, VariantArguments>
  readonly latest: string
}

/** How this action is decided, and how its visibility in a list is. */
export type ActionKeys = {
  readonly call: EngineKeys
  /** With the shadow policies; null when none could apply. */
  readonly shadow: EngineKeys | null
  /** Two actions of one server and one `group` are always listed alike. */
  readonly listing: EngineKeys & { readonly group: string }
}

/** Where the engine keeps the policies and the schema, and the part of the context that these policies can read. */
export type EngineKeys = {
  readonly policySet: string
  readonly schema: string
  readonly reads: ContextReads
}
