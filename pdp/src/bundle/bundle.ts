// Owns what a loaded bundle is: everything that decides, and what people want to know of it. No behaviour.
import type { Identity, Risk, ToolsLock } from '../../../schemas/bundle.ts'
import type { PackedGeneration } from '../../../schemas/cedar.ts'
import type { CredentialDeclaration } from '../../../schemas/credentials.ts'
import type { Upstream } from '../../../schemas/pep-api.ts'
import type { OwnBundle } from '../authorize/own.ts'
import type { DecidedServer, DecidedTool } from '../authorize/types.ts'
import type { Finding, Place } from './findings.ts'

export type BundleTool = DecidedTool & { readonly risk: Risk }
export type BundleServer = Omit<DecidedServer, 'tools'> & {
  /** `${NAME}` is not expanded: that is for the service which reaches the server. */
  readonly upstream: Upstream
  /** What the gateway authenticates with there; undefined: nothing. */
  readonly credential: CredentialDeclaration | undefined
  readonly lock: ToolsLock
  readonly tools: ReadonlyMap<string, BundleTool>
}

export type PolicyMode = 'enforced' | 'shadow'

/** One policy, and where its team wrote it. `text` is as written; what decides is Cedar's own form of it. */
export type BundlePolicy = {
  readonly id: string
  readonly effect: 'permit' | 'forbid'
  readonly owner: string | null
  readonly severity: string | null
  readonly reason: string | null
  /** A shadow policy is evaluated and recorded beside, and decides nothing. */
  readonly mode: PolicyMode
  readonly file: string
  readonly place: Place
  readonly text: string
}

/** Everything one bundle decides by. Immutable; two bundles of one `id` decide alike. */
export type Bundle = {
  /** SHA-256 of `content`, hex. Comments and formatting do not matter to it; the engine's version does. */
  readonly id: string
  readonly name: string
  readonly access: string
  /** Milliseconds. */
  readonly maxAgeMs: number
  readonly requireSignedBy: readonly string[]
  /** Whose access tokens agents may come with. The same object for as long as this bundle decides. */
  readonly identity: Identity
  /** For the leaf, hex SHA-256: policy set and schema as RFC 8785 JSON, and the mapper's version. */
  readonly digests: { readonly policySet: string; readonly schema: string; readonly mapper: string }
  readonly servers: ReadonlyMap<string, BundleServer>
  readonly policies: ReadonlyMap<string, BundlePolicy>
  /** The gateway's own, which hold in every bundle; their ids begin with `cedargate/`. */
  readonly base: ReadonlyMap<string, BundlePolicy>
  /** Types beyond MCP that the bundle brings, how their actions are decided, and their entities. */
  readonly own: OwnBundle['own']
  readonly generation: PackedGeneration
  /** RFC 8785 JSON of all that makes the bundle, to be stored whole. */
  readonly content: string
  readonly warnings: readonly Finding[]
}
