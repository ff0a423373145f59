// Owns what a place is that bundles come from. Types only; directory-source.ts and git-source.ts make the real ones.
import type { BundleTree } from '../bundle/tree.ts'

/** What a source holds at one moment. Two of one `revision` hold the same. */
export type Snapshot = {
  readonly revision: string
  /** Id of the git commit; null for what is no commit. */
  readonly commit: string | null
  readonly open: () => Promise<BundleTree>
  /** Why the commit is not signed by one of these; undefined when it is. `signers` as in gateway.yaml. */
  readonly signatureProblem: (signers: readonly string[]) => Promise<string | undefined>
}

export type BundleSource = {
  /** For people and records: a path, or a URL without credentials and a ref. */
  readonly name: string
  /** How often to look; may change from look to look. */
  readonly intervalMs: number
  /** What is there now. Rejects with SourceError, BundleError, or what the system said. */
  readonly look: () => Promise<Snapshot>
}

/** A source that cannot be read now, in one line that says what to mend. */
export class SourceError extends Error {
  override readonly name = 'SourceError'
}
