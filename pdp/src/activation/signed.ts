// Owns who must have signed what becomes active: the operator's setting, the bundle before it and the bundle itself each
// have a say, so that whoever may write to the repository cannot strike their own guard out.
import type { Bundle } from '../bundle/bundle.ts'
import type { Snapshot } from '../source/source.ts'
import type { Trust } from './activation.ts'
import { Refused } from './problem.ts'

type Said = {
  readonly trust: Trust
  /** What was active before; undefined at the first start. */
  readonly before: Pick<Bundle, 'requireSignedBy'> | undefined
}

/** Why `snapshot` may not become active; undefined when it is signed by one of each list, or no list has anybody. */
export async function unsignedProblem(
  snapshot: Snapshot,
  bundle: Bundle,
  { trust, before }: Said,
): Promise<Refused | undefined> {
  const lists = [trust.signers, before?.requireSignedBy ?? [], bundle.requireSignedBy]
  const asked = new Map(
    lists.filter((list) => list.length > 0).map((list) => [list.join('\n'), list]),
  )
  if (snapshot.commit === null && trust.unsignedDirectory === 'accept') return undefined
  for (const signers of asked.values()) {
    const problem = await snapshot.signatureProblem(signers)
    if (problem !== undefined) return new Refused(`gateway.yaml:1:1: ${problem}`)
  }
  return undefined
}
