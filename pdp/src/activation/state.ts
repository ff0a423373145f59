// Owns what operators are told of the bundle that decides, and what they may do about it.
import type { BundleState } from '../../../schemas/admin-api.ts'
import { findingLine } from '../bundle/findings.ts'
import type { BundlePorts } from '../routes/bundles.ts'
import type { Bundles } from '../store/bundles.ts'
import type { Activation, ActivationStatus } from './activation.ts'

/** The state in the words of `/readyz` and `/admin/v1/bundles`. */
export function bundleState(status: ActivationStatus): BundleState {
  const { bundle, source, commit, activatedAt, confirmedAt, stale, pinned, problem } = status
  return {
    id: bundle.id,
    source,
    commit,
    activatedAt: new Date(activatedAt).toISOString(),
    confirmedAt: new Date(confirmedAt).toISOString(),
    stale,
    pinned,
    problem:
      problem === null
        ? null
        : {
            revision: problem.revision,
            message: problem.message,
            findings: problem.findings.map(findingLine),
          },
  }
}

export function bundleAdministration(bundles: Bundles, activation: Activation): BundlePorts {
  return {
    bundleState: () => bundleState(activation.status()),
    async listBundles() {
      const { bundle, pinned } = activation.status()
      return (await bundles.list()).map(({ id, bytes, source, commit, ...times }) => ({
        id,
        bytes,
        source,
        commit,
        active: id === bundle.id,
        pinned: pinned && id === bundle.id,
        firstActiveAt: new Date(times.firstActive).toISOString(),
        lastActiveAt: times.lastActive === null ? null : new Date(times.lastActive).toISOString(),
      }))
    },
    bundleContent: async (id) => (await bundles.find(id))?.content,
    async pinBundle(id) {
      const pinned = await bundles.pin(id)
      if (pinned) await activation.refresh()
      return pinned
    },
  }
}
