// Owns how a process comes to its first bundle: from its source, or from what was active before. Needs no database itself.
import type { Clock } from '../../schemas/ports.ts'
import type { Started, Trust } from './activation/activation.ts'
import { problemOf } from './activation/problem.ts'
import { unsignedProblem } from './activation/signed.ts'
import type { Bundle } from './bundle/bundle.ts'
import { requiredSigners, storedFiles } from './bundle/content.ts'
import { type BundleFiles, readBundleFiles } from './bundle/files.ts'
import { loadFiles } from './bundle/load.ts'
import { loadAside } from './bundle/load-aside.ts'
import { openOrEnd } from './endings.ts'
import { type Engine, startEngine } from './engine/engine.ts'
import type { BundleSource } from './source/source.ts'
import type { KeptBundle } from './store/bundles.ts'

/** An engine on its first bundle, and where the next ones come from. */
export type Decider = {
  readonly engine: Engine
  readonly source: BundleSource
  readonly trust: Trust
  readonly started: Started
  /** Reads and checks another bundle beside the one that decides. */
  readonly load: (files: BundleFiles) => Promise<Bundle>
}

export type DeciderPorts = {
  readonly source: BundleSource
  readonly trust: Trust
  /** Variables that `${NAME}` in server files may name. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly engineWorkers: number
  readonly clock: Clock
  /** What was active before this process, to go on with when the source has no good bundle. Default: nothing was. */
  readonly before?: () => Promise<KeptBundle | undefined>
}

/**
 * Reads the first bundle and starts an engine on it. Throws BundleError with every finding, or why the source cannot be
 * read, unless there is a bundle from before: then that one decides on, and the problem is told.
 */
export async function openDecider(ports: DeciderPorts): Promise<Decider> {
  const { source, trust, env, engineWorkers } = ports
  const started = await loadFirst(ports)
  const engine = await startEngine({ workers: engineWorkers })
  await openOrEnd([engine.stop], () => engine.activate(started.bundle.generation))
  return { engine, source, trust, started, load: (files) => loadAside(files, { env }) }
}

async function loadFirst({ source, trust, env, clock, before }: DeciderPorts): Promise<Started> {
  const kept = await before?.()
  try {
    const { revision, commit, ...snapshot } = await source.look()
    const bundle = await loadFiles(await readBundleFiles(await snapshot.open()), { env })
    const last = kept && requiredSigners(kept.content)
    const said = { trust, before: last && { requireSignedBy: last } }
    const unsigned = await unsignedProblem({ revision, commit, ...snapshot }, bundle, said)
    if (unsigned !== undefined) throw unsigned
    return { bundle, revision, commit, confirmedAt: clock.now(), problem: null }
  } catch (error) {
    if (kept === undefined) throw error
    const bundle = await loadFiles(await storedFiles(kept.content), { env })
    // With another release or other settings it is another bundle, and nobody has kept that one.
    if (bundle.id !== kept.id) throw error
    const { commit } = kept
    const confirmedAt = kept.confirmed ?? kept.firstActive
    return { bundle, revision: '', commit, confirmedAt, problem: problemOf(error) }
  }
}
