// Owns deciding without a gateway: the authorizer and the engine of a bundle, for tests and explanations. Records
// nothing, knows no grants, and always assumes the reviewed definition of a tool.
import type { CedarTexts, EngineAnswer, PolicyJson } from '../../../schemas/cedar.ts'
import { packGeneration } from '../../../schemas/cedar.ts'
import { DECIDE_CALLS_MAX } from '../../../schemas/limits.ts'
import type { Authorizer } from '../authorize/authorizer.ts'
import { createAuthorizer } from '../authorize/authorizer.ts'
import type { Authorization, AuthorizationRequest } from '../authorize/types.ts'
import type { Bundle } from '../bundle/bundle.ts'
import type { Engine } from '../engine/engine.ts'
import { startEngine } from '../engine/engine.ts'

/** Nobody waits for these answers on the path of a call. */
const OFFLINE_TIMEOUT_MS = 30_000

export type Offline = {
  /** As the gateway would: through the mapper, the slices and the interpretation. */
  readonly authorize: (requests: readonly AuthorizationRequest[]) => Promise<Authorization[]>
  /** A request in Cedar's own words, by every policy of the bundle and its whole schema. */
  readonly evaluate: (texts: CedarTexts) => Promise<EngineAnswer>
  readonly stop: () => Promise<void>
}

/** What of a bundle's content is read here. */
export type BundleContent = {
  readonly base: Readonly<Record<string, PolicyJson>>
  readonly policies: Readonly<Record<string, PolicyJson>>
  readonly schema: object
  readonly servers: Readonly<
    Record<
      string,
      {
        readonly server: unknown
        readonly lock: {
          readonly tools: readonly { risk: string; sha256: string; definition: { name: string } }[]
        }
      }
    >
  >
  readonly gateway: unknown
}

/** The parts of `bundle.content`: what was loaded, so it is as it says. */
export function contentOf({ content }: Pick<Bundle, 'content'>): BundleContent {
  return JSON.parse(content) as BundleContent
}

/** A started engine with the bundle in it. Throws when the bundle cannot be activated. */
export async function startOffline(bundle: Bundle): Promise<Offline> {
  const { base, policies } = contentOf(bundle)
  const enforced = Object.entries(policies).filter(
    ([id]) => bundle.policies.get(id)?.mode === 'enforced',
  )
  const engine = await startActivated(bundle.generation)
  const authorizer = createAuthorizer({ bundle, engine })
  let whole: Promise<Whole> | undefined
  return {
    authorize: (requests) => inChunks(authorizer, requests),
    async evaluate(texts) {
      whole ??= startWhole(bundle, { ...base, ...Object.fromEntries(enforced) })
      return (await whole).evaluate(texts)
    },
    async stop() {
      await Promise.all([engine.stop(), whole?.then((started) => started.stop())])
    },
  }
}

/** An engine that asks `policies`, whatever they are, by the whole schema of a bundle. */
export type Whole = Pick<Offline, 'evaluate' | 'stop'>

/** Throws when the policies cannot be parsed. Does NOT validate them. */
export async function startWhole(
  bundle: Bundle,
  policies: Readonly<Record<string, string | PolicyJson>>,
): Promise<Whole> {
  const key = 'whole'
  const schema = JSON.stringify(contentOf(bundle).schema)
  const engine = await startActivated(
    packGeneration({ id: key, policySets: [{ key, policies }], schemas: [{ key, schema }] }),
  )
  return {
    async evaluate(texts) {
      const call = { generation: key, policySet: key, schema: key, texts }
      const [answer] = await engine.evaluate([call])
      return answer ?? { kind: 'fault', cause: 'the engine did not answer' }
    },
    stop: () => engine.stop(),
  }
}

async function startActivated(generation: Bundle['generation']): Promise<Engine> {
  const engine = await startEngine({ workers: 1, timeoutMs: OFFLINE_TIMEOUT_MS })
  try {
    await engine.activate(generation)
    return engine
  } catch (error) {
    await engine.stop()
    throw error
  }
}

async function inChunks(
  authorizer: Authorizer,
  requests: readonly AuthorizationRequest[],
): Promise<Authorization[]> {
  const answers: Authorization[] = []
  for (let from = 0; from < requests.length; from += DECIDE_CALLS_MAX) {
    answers.push(...(await authorizer.authorize(requests.slice(from, from + DECIDE_CALLS_MAX))))
  }
  return answers
}
