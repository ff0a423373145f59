// Owns moving credentials from one key-encryption key to another while both work: secrets and versions stay as they are.
import type { CredentialKeys, RewrapLine } from '../../../schemas/credentials-api.ts'
import { dataKeyOf } from './envelope.ts'
import type { KeyRing } from './key-ring.ts'
import type { CredentialRows } from './rows.ts'
import { underFirst } from './under-first.ts'

export type RewrapPorts = {
  readonly rows: CredentialRows
  readonly ring: KeyRing
  /** Told why one stays under its old key. */
  readonly onFault: (of: { readonly id: string }, error: unknown) => void
}

const PAGE = 100
/** Ids that are named; a line says no more of them. */
const FAILED_MAX = 100

/** The keys of the ring and those that wrap something. */
export async function listKeys({
  rows,
  ring,
}: Pick<RewrapPorts, 'rows' | 'ring'>): Promise<CredentialKeys> {
  const ids = await ring.ids()
  const counts = await rows.countByKek()
  const countOf = (id: string) => counts.find((count) => count.id === id)?.credentials ?? 0
  const unknown = counts.filter(({ id }) => !ids.includes(id))
  return {
    source: ring.source,
    current: ids[0] ?? null,
    keys: [
      ...ids.map((id) => ({ id, known: true, credentials: countOf(id) })),
      ...unknown.map(({ id, credentials }) => ({ id, known: false, credentials })),
    ],
  }
}

/**
 * Puts every credential under the ring's first key, a line each PAGE of them. What is set anew meanwhile is under it
 * already. Rejects with CredentialFault when there is no key. May be broken off and run again at any time.
 */
export async function* rewrapAll(ports: RewrapPorts): AsyncGenerator<RewrapLine> {
  const { rows, ring, onFault } = ports
  const { current, keys } = await listKeys(ports)
  const key = current ?? ''
  const total = keys.reduce(
    (sum, { id, credentials }) => sum + (id === current ? 0 : credentials),
    0,
  )
  const failed: string[] = []
  let done = 0
  let after: string | null = null
  for (;;) {
    const page = await rows.notUnder(key, after, PAGE)
    for (const record of page) {
      try {
        await underFirst(ports, record, await dataKeyOf(ring, record.envelope, record))
        done += 1
      } catch (error) {
        onFault(record, error)
        if (failed.length < FAILED_MAX) failed.push(record.id)
      }
    }
    after = page.at(-1)?.id ?? after
    const finished = page.length < PAGE
    yield { key, done, total: Math.max(total, done), failed, finished }
    if (finished) return
  }
}
