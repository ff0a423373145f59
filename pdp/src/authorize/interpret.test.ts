// What each of Cedar's answers means. Every way of not being a clean allow denies.
import { expect, test } from 'vitest'
import type { EngineAnswer } from '../../../schemas/cedar.ts'
import { interpret } from './interpret.ts'

const said = (
  decision: 'allow' | 'deny',
  reason: string[],
  errors: string[] = [],
): EngineAnswer => {
  return { kind: 'success', decision, reason, errors }
}

test.each<{ name: string; answer: EngineAnswer; want: object }>([
  {
    name: 'an allow with its policies, sorted',
    answer: said('allow', ['b', 'a']),
    want: { decision: 'allow', code: 'permit', policies: ['a', 'b'], errors: [] },
  },
  {
    name: 'an allow that no policy gave',
    answer: said('allow', []),
    want: { decision: 'deny', code: 'engine_fault', policies: [], errors: [] },
  },
  {
    name: 'an allow while a policy failed',
    answer: said('allow', ['a'], ['z', 'y', 'z']),
    want: { decision: 'deny', code: 'policy_error', policies: ['y', 'z'], errors: ['y', 'z'] },
  },
  {
    name: 'a forbid',
    answer: said('deny', ['f']),
    want: { decision: 'deny', code: 'forbid', policies: ['f'], errors: [] },
  },
  {
    name: 'a deny while a policy failed',
    answer: said('deny', [], ['y']),
    want: { decision: 'deny', code: 'policy_error', policies: ['y'], errors: ['y'] },
  },
  {
    name: 'nothing permits',
    answer: said('deny', []),
    want: { decision: 'deny', code: 'no_permit', policies: [], errors: [] },
  },
  {
    name: 'the request does not fit',
    answer: { kind: 'failure', message: 'secret' },
    want: { decision: 'deny', code: 'invalid_request', policies: [], errors: [] },
  },
  {
    name: 'no answer',
    answer: { kind: 'fault', cause: 'secret' },
    want: { decision: 'deny', code: 'engine_fault', policies: [], errors: [] },
  },
])('$name', ({ answer, want }) => {
  expect(interpret(answer)).toEqual(want)
})
