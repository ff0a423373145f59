// Owns measuring one decision on one thread: mapping, Cedar and interpretation, by slices and, beside it in the same run,
// by all policies on the whole schema.
import { tmpdir } from 'node:os'
import { type Authorizer, createAuthorizer } from '../../../pdp/src/authorize/authorizer.ts'
import type {
  AuthorizationRequest,
  AuthorizerBundle,
  Evaluator,
} from '../../../pdp/src/authorize/types.ts'
import type { Bundle } from '../../../pdp/src/bundle/bundle.ts'
import { loadBundle } from '../../../pdp/src/bundle/load.ts'
import { withFiles } from '../../../pdp/src/bundle/testing.ts'
import { activate, evaluate, startCedar } from '../../../pdp/src/engine/cedar.ts'
import { loadCedarWasm } from '../../../pdp/src/engine/wasm.ts'
import { type PolicyJson, packGeneration, unpackGeneration } from '../../../schemas/cedar.ts'
import { NO_CEILINGS } from '../../../schemas/scopes.ts'
import { ARGUMENTS, benchBundle, SERVERS, serverOf, TOOLS_EACH, toolOf } from './bundles.ts'

export type Percentiles = { readonly p50Ms: number; readonly p99Ms: number }

/** Cedar in this very thread, as an engine's worker has it. */
export async function cedarHere(): Promise<void> {
  startCedar((await loadCedarWasm()).module)
}

export async function loadBench(
  policies: number,
  servers?: number,
  toolsEach?: number,
): Promise<Bundle> {
  const files = benchBundle(policies, servers, toolsEach)
  return withFiles(tmpdir(), files, (folder) => loadBundle(folder, { env: {} }))
}

/** An authorizer on this thread; `whole` decides by all policies on the whole schema instead of slices. */
export function authorizerHere(bundle: Bundle, whole = false): Authorizer {
  const { id, policySets, schemas } = unpackGeneration(bundle.generation)
  const content = JSON.parse(bundle.content) as {
    policies: Record<string, PolicyJson>
    schema: object
  }
  const all = { key: `whole:${id}`, policies: content.policies }
  const schema = { key: `whole:${id}`, schema: JSON.stringify(content.schema) }
  activate(
    packGeneration(
      whole
        ? { id, policySets: [all], schemas: [schema] }
        : {
            id,
            policySets: policySets.map((set) => ({ ...set, key: `${id}:${set.key}` })),
            schemas: schemas.map((one) => ({ ...one, key: `${id}:${one.key}` })),
          },
    ),
  )
  const engine: Evaluator = {
    async evaluate(batch) {
      const calls = batch.map((one) => ({
        policySet: whole ? all.key : `${id}:${one.policySet}`,
        schema: whole ? schema.key : `${id}:${one.schema}`,
        texts: one.texts,
      }))
      const answer = evaluate(calls)
      if (answer.kind !== 'answered') throw new Error(answer.kind)
      return answer.answers
    },
  }
  return createAuthorizer({ bundle: whole ? readingAll(bundle) : bundle, engine })
}

/** The whole schema wants the whole context, whatever the policies of a slice read of it. */
function readingAll(bundle: Bundle): AuthorizerBundle {
  const servers = [...bundle.servers].map(([id, server]) => {
    const tools = [...server.tools].map(([name, tool]) => {
      const call = { ...tool.keys.call, reads: 'all' as const }
      return [name, { ...tool, keys: { ...tool.keys, call } }] as const
    })
    return [id, { ...server, tools: new Map(tools) }] as const
  })
  return { ...bundle, servers: new Map(servers) }
}

export function requestOf(index: number): AuthorizationRequest {
  const server = serverOf(index % SERVERS)
  const name = toolOf(Math.floor(index / SERVERS) % TOOLS_EACH)
  return {
    user: `user-${index % 100}`,
    teams: [`team-${index % 50}`, 'team-0'],
    agent: 'claude-code',
    grant: { id: '01930000-0000-7000-8000-000000000001', expiresAt: 2_000_000_000_000 },
    server,
    method: 'tools/call',
    params: { name, arguments: { ...ARGUMENTS, owner: `own${index}-acme` } },
    definition: null,
    scopes: NO_CEILINGS,
    definitionRequired: false,
    from: 'client',
    time: 1_800_000_000_000 + index,
    era: 'modern',
    sourceIp: '127.0.0.1',
  }
}

/** Times `count` decisions one after the other. Throws when one is neither a permit, a forbid nor without permit. */
export async function timeDecisions(authorizer: Authorizer, count: number): Promise<Percentiles> {
  const times: number[] = []
  for (let index = 0; index < count; index++) {
    const request = requestOf(index * 37)
    const began = performance.now()
    const [answer] = await authorizer.authorize([request])
    times.push(performance.now() - began)
    if (!['permit', 'forbid', 'no_permit'].includes(answer?.code ?? ''))
      throw new Error(answer?.code)
  }
  return percentiles(times)
}

export function percentiles(times: readonly number[]): Percentiles {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? 0
  return { p50Ms: at(0.5), p99Ms: at(0.99) }
}
