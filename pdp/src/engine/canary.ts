// Owns the decisions with known answers that prove a wasm instance before it may decide anything.
import type { Generation } from '../../../schemas/cedar.ts'
import type { WorkerCall } from './messages.ts'

const KEY = 'canary'
const TEXT = { type: 'String' }
const SCHEMA = {
  Canary: {
    entityTypes: { Bird: { memberOfTypes: ['Flock'] }, Flock: {}, Mine: {} },
    actions: {
      sing: {
        appliesTo: {
          principalTypes: ['Bird'],
          resourceTypes: ['Mine'],
          context: { type: 'Record', attributes: { air: TEXT } },
        },
      },
    },
  },
}

/** Its own keys, beside those of every generation. */
export const CANARY_GENERATION: Generation = {
  id: KEY,
  policySets: [
    {
      key: KEY,
      policies: {
        'canary/flock': 'permit(principal in Canary::Flock::"yellow", action, resource);',
        'canary/gas': 'forbid(principal, action, resource) when { context.air like "gas*" };',
      },
    },
  ],
  schemas: [{ key: KEY, schema: JSON.stringify(SCHEMA) }],
}

type Canary = { readonly call: WorkerCall; readonly decision: string; readonly reason: string }

/** An allow, a forbid, a default deny, and a request that does not fit the schema. */
export const CANARIES: readonly Canary[] = [
  { call: song('"clear"', 'yellow'), decision: 'allow', reason: 'canary/flock' },
  { call: song('"gas!"', 'yellow'), decision: 'deny', reason: 'canary/gas' },
  { call: song('"clear"', 'grey'), decision: 'deny', reason: '' },
  { call: song('1', 'yellow'), decision: 'failure', reason: '' },
]

function song(air: string, flock: string): WorkerCall {
  const bird = { type: 'Canary::Bird', id: 'tweety' }
  const texts = {
    request: JSON.stringify({
      principal: bird,
      action: { type: 'Canary::Action', id: 'sing' },
      resource: { type: 'Canary::Mine', id: 'deep' },
    }),
    context: `{"air":${air}}`,
    entities: JSON.stringify([
      { uid: bird, attrs: {}, parents: [{ type: 'Canary::Flock', id: flock }] },
    ]),
  }
  return { policySet: KEY, schema: KEY, texts }
}
