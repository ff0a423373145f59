// Owns explaining one decision: its policies where they are written, and, when nothing permitted, which permits came
// near and which of their conditions stood in the way. Every condition is judged by Cedar itself.
import type { PolicyJson } from '../../../schemas/cedar.ts'
import type { Authorization, AuthorizationRequest } from '../authorize/types.ts'
import { parts } from '../authorize/visibility.ts'
import type { Bundle, BundlePolicy } from '../bundle/bundle.ts'
import { startCandidate } from '../engine/candidate.ts'
import { startOffline, startWhole } from './offline.ts'

/** A policy of the answer, as it is written; one of the gateway's own is in `cedargate/base.cedar`. `role`: it determined the verdict, or failed to evaluate. */
export type ExplainedPolicy = {
  readonly id: string
  readonly role: 'determining' | 'failed'
  readonly effect: 'permit' | 'forbid'
  readonly file: string
  readonly line: number
  readonly column: number
  readonly text: string
}

/** One scope or condition of a permit. `unreached`: Cedar never looks at it, for one before it does not hold. */
export type Part = {
  readonly text: string
  readonly holds: 'yes' | 'no' | 'error' | 'unreached'
}
export type NearPermit = Pick<ExplainedPolicy, 'id' | 'file' | 'line' | 'column'> & {
  readonly parts: readonly Part[]
}

export type Explanation = Pick<Authorization, 'decision' | 'code' | 'detail'> & {
  readonly tool: string | null
  readonly policies: readonly ExplainedPolicy[]
  /** Nearest first: with the fewest parts that do not hold. Only for `no_permit`. */
  readonly near: readonly NearPermit[]
  /** Tools that a list would show; null for everything else. */
  readonly visible: readonly string[] | null
  /** The request in Cedar's words; null when it was refused before Cedar. */
  readonly cedar: {
    readonly request: unknown
    readonly context: unknown
    readonly entities: unknown
  } | null
}

/** Decides `request` as the gateway would and says why. Throws when the bundle cannot be activated. */
export async function explain(bundle: Bundle, request: AuthorizationRequest): Promise<Explanation> {
  const offline = await startOffline(bundle)
  try {
    const [answer] = await offline.authorize([request])
    if (answer === undefined) throw new Error('the authorizer did not answer')
    const { decision, code, detail, tool, policies, errors, visible, cedar } = answer
    return {
      decision,
      code,
      detail,
      tool,
      policies: policies.flatMap(
        (id) => explained(bundle, id, errors.includes(id) ? 'failed' : 'determining') ?? [],
      ),
      near: code === 'no_permit' ? await nearPermits(bundle, cedar) : [],
      visible: visible?.tools ?? null,
      cedar:
        cedar.request === ''
          ? null
          : {
              request: JSON.parse(cedar.request),
              context: JSON.parse(cedar.context),
              entities: JSON.parse(cedar.entities),
            },
    }
  } finally {
    await offline.stop()
  }
}

function explained(
  { policies, base }: Bundle,
  id: string,
  role: ExplainedPolicy['role'],
): ExplainedPolicy | undefined {
  const found = policies.get(id) ?? base.get(id)
  if (found === undefined) return undefined
  const { effect, file, place, text } = found
  return { id, role, effect, file, ...place, text }
}

/** `key`: its id among all probes. `policy`: a permit that holds when this part of its policy does. */
type Probe = { readonly key: string; readonly text: string; readonly policy: string }
/** `scope`: whether the permit is about the action and the resource at all. */
type Probed = {
  readonly policy: BundlePolicy
  readonly scope: Probe
  readonly parts: readonly Probe[]
}

/** Permits whose action and resource match; every part of every permit is judged by one evaluation. */
async function nearPermits(bundle: Bundle, texts: Authorization['cedar']): Promise<NearPermit[]> {
  const permits = [...bundle.policies.values()].filter(
    ({ effect, mode }) => effect === 'permit' && mode === 'enforced',
  )
  const probed = await probePermits(permits)
  const probes = probed.flatMap(({ scope, parts: own }) => [scope, ...own])
  const whole = await startWhole(
    bundle,
    Object.fromEntries(probes.map(({ key, policy }) => [key, policy])),
  )
  try {
    const answer = await whole.evaluate(texts)
    if (answer.kind !== 'success') return []
    const [held, failed] = [new Set(answer.reason), new Set(answer.errors)]
    const about = probed.filter(({ scope }) => held.has(scope.key))
    const near = about.map(({ policy: { id, file, place }, parts: own }): NearPermit => {
      return { id, file, ...place, parts: judged(own, held, failed) }
    })
    return near.toSorted((a, b) => missing(a) - missing(b))
  } finally {
    await whole.stop()
  }
}

function judged(
  probes: readonly Probe[],
  held: ReadonlySet<string>,
  failed: ReadonlySet<string>,
): Part[] {
  let reached = true
  return probes.map(({ key, text }) => {
    const no = failed.has(key) ? 'error' : 'no'
    const holds = held.has(key) ? 'yes' : no
    if (!reached && holds === 'error') return { text, holds: 'unreached' }
    if (holds !== 'yes') reached = false
    return { text, holds }
  })
}

function missing({ parts: own }: NearPermit): number {
  return own.filter(({ holds }) => holds !== 'yes').length
}

async function probePermits(permits: readonly BundlePolicy[]): Promise<Probed[]> {
  const candidate = await startCandidate()
  try {
    const parsed = await candidate.parse(permits.map(({ text }) => text))
    const probes = parsed.map((answer) => (answer.ok ? probesOf(answer.policy) : []))
    const printed = (await candidate.print(probes.flat())).values()
    return permits.flatMap((policy, index): Probed[] => {
      const own = (probes[index] ?? []).map((_, part): Probe => {
        const text = printed.next().value ?? ''
        return { key: `${index}/${part}`, text: partText(text), policy: text }
      })
      const [scope, ...others] = own
      return scope === undefined ? [] : [{ policy, scope, parts: others }]
    })
  } finally {
    await candidate.close()
  }
}

const ALL = { op: 'All' } as const
const EVERYTHING: PolicyJson = {
  effect: 'permit',
  principal: ALL,
  action: ALL,
  resource: ALL,
  conditions: [],
}

/** First its action and resource, then its principal, then each condition by itself. */
function probesOf({ principal, action, resource, conditions }: PolicyJson): PolicyJson[] {
  const single = conditions.flatMap(({ kind, body }) =>
    parts(body, kind === 'when' ? '&&' : '||').map((part) => ({ kind, body: part })),
  )
  return [
    { ...EVERYTHING, action, resource },
    { ...EVERYTHING, principal },
    ...single.map((condition) => ({ ...EVERYTHING, conditions: [condition] })),
  ]
}

/** What of a printed probe its team wrote: the principal's scope, or one condition. */
function partText(printed: string): string {
  const condition = /^permit\(principal, action, resource\) (when|unless) \{ ([^]*) \};$/.exec(
    printed,
  )
  if (condition === null) return printed.replace(/^permit\(([^]*), action, resource\);$/, '$1')
  return condition[1] === 'when' ? (condition[2] ?? '') : `unless ${condition[2]}`
}
