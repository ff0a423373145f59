// Verdicts: one good one, and every way it can be broken. None of the broken ones is an allow, or
// anything at all.
import { expect, test } from 'vitest'
import { readVerdict } from './verdict.ts'

const QUESTION = { requestId: 'r-1', server: 'demo', messageDigest: 'd'.repeat(64), grant: 'g-1' }
const RECORD = {
  leaf: '{}',
  hash: 'a'.repeat(64),
  sig: 'AA==',
  person: null,
  detail: { key: '1', ct: 'AA==' },
}
const GOOD = {
  kind: 'verdict',
  ...QUESTION,
  decisionId: 'x',
  decision: 'allow',
  code: 'permit',
  policies: ['a/b'],
  text: '',
  visible: { tools: ['a'], resources: true, prompts: false },
  record: RECORD,
}
const REJECTION = { kind: 'rejection', requestId: 'r-1', reason: 'unauthenticated' }

test.each([GOOD, { ...GOOD, decision: 'deny', code: 'forbid', visible: null }, REJECTION])(
  'a $kind is believed',
  (value) => expect(readVerdict(value, QUESTION)).toBe(value),
)

test.each([
  { name: 'nothing', value: undefined, code: 'pdp_unavailable' },
  { name: 'null', value: null, code: 'pdp_unavailable' },
  { name: 'a list', value: [GOOD], code: 'pdp_unavailable' },
  { name: 'a bare allow', value: { decision: 'allow', requestId: 'r-1' }, code: 'pdp_unavailable' },
  { name: 'another kind', value: { ...GOOD, kind: 'Verdict' }, code: 'pdp_unavailable' },
  { name: 'another decision', value: { ...GOOD, decision: 'ALLOW' }, code: 'pdp_unavailable' },
  { name: 'a true decision', value: { ...GOOD, decision: true }, code: 'pdp_unavailable' },
  { name: 'an allow that says forbid', value: { ...GOOD, code: 'forbid' }, code: 'pdp_unavailable' },
  { name: 'a deny that says permit', value: { ...GOOD, decision: 'deny' }, code: 'pdp_unavailable' },
  { name: 'an unknown code', value: { ...GOOD, decision: 'deny', code: 'no' }, code: 'pdp_unavailable' },
  { name: 'no decision id', value: { ...GOOD, decisionId: 5 }, code: 'pdp_unavailable' },
  { name: 'policies that are none', value: { ...GOOD, policies: [1] }, code: 'pdp_unavailable' },
  { name: 'no text', value: { ...GOOD, text: undefined }, code: 'pdp_unavailable' },
  { name: 'visible as a list', value: { ...GOOD, visible: ['a'] }, code: 'pdp_unavailable' },
  { name: 'visible half', value: { ...GOOD, visible: { tools: ['a'], resources: true } }, code: 'pdp_unavailable' },
  { name: 'no visible at all', value: { ...GOOD, visible: undefined }, code: 'pdp_unavailable' },
  { name: 'no record', value: { ...GOOD, record: null }, code: 'pdp_unavailable' },
  { name: 'a record without a leaf', value: { ...GOOD, record: { ...RECORD, leaf: null } }, code: 'pdp_unavailable' },
  { name: 'a record with a short hash', value: { ...GOOD, record: { ...RECORD, hash: 'aa' } }, code: 'pdp_unavailable' },
  { name: 'a record without a signature', value: { ...GOOD, record: { ...RECORD, sig: null } }, code: 'pdp_unavailable' },
  { name: 'a detail that is none', value: { ...GOOD, record: { ...RECORD, detail: {} } }, code: 'pdp_unavailable' },
  { name: 'a rejection for no reason', value: { ...REJECTION, reason: 'x' }, code: 'pdp_unavailable' },
  { name: 'another request', value: { ...GOOD, requestId: 'r-2' }, code: 'verdict_mismatch' },
  { name: 'a rejection of another request', value: { ...REJECTION, requestId: 'r-2' }, code: 'verdict_mismatch' },
  { name: 'another server', value: { ...GOOD, server: 'other' }, code: 'verdict_mismatch' },
  { name: 'another grant', value: { ...GOOD, grant: 'g-2' }, code: 'verdict_mismatch' },
  { name: 'no grant', value: { ...GOOD, grant: null }, code: 'verdict_mismatch' },
  { name: 'a grant left out', value: { ...GOOD, grant: undefined }, code: 'verdict_mismatch' },
  { name: 'another message', value: { ...GOOD, messageDigest: 'e'.repeat(64) }, code: 'verdict_mismatch' },
])('$name: $code', ({ value, code }) => {
  expect(() => readVerdict(value, QUESTION)).toThrow(expect.objectContaining({ code }))
}) // biome-ignore format: a table
