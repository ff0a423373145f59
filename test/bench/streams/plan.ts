// Owns how many streams, children and grants the benchmark `streams` opens, and who gets which. Pure.

export type Plan = {
  /** Grants that are revoked hold as much as one grant may. */
  readonly revoked: number
  readonly others: number
  /** Streams over HTTP: a legacy GET, a modern `subscriptions/listen`, a call whose answer does not end. */
  readonly get: number
  readonly listen: number
  readonly post: number
  /** Stdio sessions, each with a child and a GET stream of its own. */
  readonly children: number
  /** Windows of traffic that are measured one after the other, each this long. */
  readonly windows: number
  readonly windowMs: number
  readonly callsPerSecond: number
  /** How often the streams of those that were not revoked are closed and opened again. */
  readonly reopenings: number
}

export const FULL: Plan = {
  revoked: 5,
  others: 15,
  get: 450,
  listen: 450,
  post: 100,
  children: 100,
  windows: 3,
  windowMs: 20_000,
  callsPerSecond: 50,
  reopenings: 3,
}
export const QUICK: Plan = {
  revoked: 2,
  others: 3,
  get: 70,
  listen: 70,
  post: 10,
  children: 22,
  windows: 1,
  windowMs: 4_000,
  callsPerSecond: 20,
  reopenings: 1,
}

export const STREAM_KINDS = ['get', 'listen', 'post'] as const
export type StreamKind = (typeof STREAM_KINDS)[number]
/** What one grant opens. */
export type Share = Readonly<Record<StreamKind | 'children', number>>

/** The limits that one grant is held to (pep/src/limits.ts). */
export type GrantLimits = { readonly streams: number; readonly children: number }

/**
 * Shares by grant, those to be revoked first: they get all the limits allow, the others the rest, evenly. Of a child's
 * session one lasting stream counts too. Throws when somebody would get more than the limits allow.
 */
export function sharesOf(plan: Plan, limits: GrantLimits): readonly Share[] {
  const half = (limits.streams - limits.children) / 2
  const grants = plan.revoked + plan.others
  const full = { get: Math.floor(half), listen: Math.ceil(half), children: limits.children }
  const post = evenly(plan.post, grants)
  const rest = (of: 'get' | 'listen' | 'children') =>
    evenly(plan[of] - plan.revoked * full[of], plan.others)
  const [get, listen, children] = [rest('get'), rest('listen').toReversed(), rest('children')]
  const shares = post.map((own, index): Share => {
    if (index < plan.revoked) return { ...full, post: own }
    const at = index - plan.revoked
    return { get: get[at] ?? 0, listen: listen[at] ?? 0, children: children[at] ?? 0, post: own }
  })
  for (const share of shares) {
    const lasting = share.get + share.listen + share.children
    const isWithin = lasting <= limits.streams && share.children <= limits.children
    if (!isWithin || Object.values(share).some((count) => count < 0))
      throw new Error(`a grant cannot have ${JSON.stringify(share)}`)
  }
  return shares
}

function evenly(total: number, among: number): number[] {
  return Array.from(
    { length: among },
    (_, index) => Math.floor((total * (index + 1)) / among) - Math.floor((total * index) / among),
  )
}

/** The value below which `part` of the values are; NaN of none. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = Float64Array.from(values).toSorted()
  return sorted[Math.min(Math.floor(sorted.length * part), sorted.length - 1)] ?? Number.NaN
}
