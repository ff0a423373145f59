// What of a policy is left when there is no call yet. That nothing permitted is ever hidden is shown with real
// decisions in ../bundle/decisions.test.ts.
import { expect, test } from 'vitest'
import type { PolicyJson } from '../../../schemas/cedar.ts'
import { listingPolicy } from './visibility.ts'

const read = (...path: string[]): object =>
  path.reduce<object>((left, attr) => ({ '.': { left, attr } }), { Var: 'context' })
const ARGS = { like: { left: read('args', 'path'), pattern: [] } }
const AGENT = { '==': { left: read('agent'), right: { Value: 'a' } } }
const METHOD = { '==': { left: read('request', 'method'), right: { Value: 'm' } } }
const ERA = { '==': { left: read('request', 'era'), right: { Value: 'e' } } }
const and = (left: object, right: object) => ({ '&&': { left, right } })
const or = (left: object, right: object) => ({ '||': { left, right } })
const when = (body: object) => ({ kind: 'when' as const, body })
const unless = (body: object) => ({ kind: 'unless' as const, body })

type Clauses = PolicyJson['conditions']
type Row = { name: string; effect?: PolicyJson['effect']; given: Clauses; want: Clauses | null }
test.each<Row>([
  { name: 'no condition', given: [], want: [] },
  { name: 'a conjunct about arguments goes', given: [when(and(ARGS, AGENT))], want: [when(AGENT)] },
  { name: 'the order of the others stays', given: [when(and(and(AGENT, ARGS), ERA))], want: [when(and(AGENT, ERA))] },
  { name: 'a clause with nothing left goes', given: [when(ARGS), when(ERA)], want: [when(ERA)] },
  { name: 'a disjunction is one part', given: [when(or(ARGS, AGENT))], want: [] },
  { name: '`unless` is split at its ||', given: [unless(or(ARGS, AGENT))], want: [unless(AGENT)] },
  { name: '`unless` is not split at its &&', given: [unless(and(ARGS, AGENT))], want: [] },
  { name: 'the method belongs to the call', given: [when(and(METHOD, ERA))], want: [when(ERA)] },
  { name: 'the request as a whole holds the method', given: [when({ isEmpty: { arg: read('request') } })], want: [] },
  { name: 'the fingerprint of the tool belongs to the call', given: [when(read('tool', 'reviewed'))], want: [] },
  { name: 'a forbid that needs no call stays', effect: 'forbid', given: [when(AGENT)], want: [when(AGENT)] },
  { name: 'a forbid without conditions stays', effect: 'forbid', given: [], want: [] },
  { name: 'a forbid about arguments goes whole', effect: 'forbid', given: [when(and(AGENT, ARGS))], want: null },
  { name: 'a forbid with one clause about them too', effect: 'forbid', given: [when(AGENT), unless(ARGS)], want: null },
])('$name', ({ effect = 'permit', given, want }) => {
  const scope = { op: 'All' }
  const policy: PolicyJson = { effect, principal: scope, action: scope, resource: scope, conditions: given }
  expect(listingPolicy(policy)?.conditions ?? null).toEqual(want)
}) // biome-ignore format: a table
