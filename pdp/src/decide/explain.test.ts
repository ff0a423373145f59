// The sentence that a person, a model or a server reads for a refusal.
import { expect, test } from 'vitest'
import { explainRefusal, type Refused } from './explain.ts'

const told = (what: Partial<Refused>, change: Partial<Parameters<typeof explainRefusal>[0]> = {}) =>
  explainRefusal({
    code: 'no_permit',
    policies: [],
    errors: [],
    detail: 'no policy permits this',
    what: { server: 'files', from: 'client', method: 'tools/call', tool: null, ...what },
    decisionId: 'd-1',
    access: 'ask the platform team',
    ...change,
  })

test.each<{ what: Partial<Refused>; says: string }>([
  { what: { tool: 'write' }, says: 'files/write' },
  { what: { method: 'resources/read' }, says: 'resources/read on files' },
  { what: { method: 'elicitation/create' }, says: 'elicitation/create on files' },
])('$says', ({ what, says }) => {
  expect(told(what)).toBe(
    `Refused by the policy gateway: ${says} (no_permit). No policy permits it. Decision d-1. To get access: ask the platform team.`,
  )
})

test.each([
  ['sampling/createMessage', 'to have a text made by the model of this client'],
  ['elicitation/create', 'to ask the person at this client for something'],
  ['roots/list', 'to know the directories that this client works in'],
  ['tools/call', 'something of this client'],
])('a server that sends %s wanted %s', (method, wanted) => {
  expect(told({ from: 'server', method })).toBe(
    `Refused by the policy gateway: the server files wanted ${wanted}, ${method} (no_permit). No policy permits it. Only this was refused: a call that is under way at the server goes on, and nothing of it was undone. Decision d-1. To get access: ask the platform team.`,
  )
})

test.each([
  { change: { code: 'forbid', policies: ['a/b'], detail: 'not here' }, says: 'Forbidden by a/b: not here.' },
  { change: { code: 'forbid', policies: ['a/b'], detail: '' }, says: 'Forbidden by a/b.' },
  { change: { code: 'policy_error', errors: ['a/b', 'c/d'] }, says: 'A policy could not be evaluated: a/b, c/d.' },
  { change: { code: 'invalid_request', detail: 'it is none' }, says: 'It is none.' },
] as const)('$says', ({ change, says }) => {
  expect(told({}, change)).toContain(` ${says} Decision d-1.`)
}) // biome-ignore format: a table
