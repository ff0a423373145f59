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
const CREDENTIAL = {
  id: '0195fe2c-1111-7000-8000-000000000001',
  version: 1,
  headers: { authorization: 'Bearer canary-token', 'x-api-key': 'canary-key' },
  env: { API_KEY: 'canary\nkey' },
  secrets: ['canary-token', 'canary-key', 'canary\nkey'],
}
const REJECTION = { kind: 'rejection', requestId: 'r-1', reason: 'unauthenticated' }

test.each([
  GOOD,
  { ...GOOD, decision: 'deny', code: 'forbid', visible: null },
  { ...GOOD, credential: CREDENTIAL },
  { ...GOOD, credential: { ...CREDENTIAL, headers: {}, env: {}, secrets: [] } },
  REJECTION,
])('a $kind is believed', (value) => expect(readVerdict(value, QUESTION)).toBe(value))

test.each([
  { name: 'a deny with one', decision: 'deny', code: 'forbid', change: {} },
  { name: 'no object', change: null },
  { name: 'an id that is none', change: { id: 'x' } },
  { name: 'version 0', change: { version: 0 } },
  { name: 'a version that is text', change: { version: '1' } },
  { name: 'no headers', change: { headers: undefined } },
  { name: 'headers as a list', change: { headers: [] } },
  { name: 'a header twice, by its case', change: { headers: { Authorization: 'canary-key' } } },
  { name: 'host', change: { headers: { host: 'canary-key' } } },
  { name: 'content-length', change: { headers: { 'content-length': 'canary-key' } } },
  { name: 'transfer-encoding', change: { headers: { 'transfer-encoding': 'canary-key' } } },
  { name: 'mcp-session-id', change: { headers: { 'mcp-session-id': 'canary-key' } } },
  { name: 'accept-encoding', change: { headers: { 'accept-encoding': 'canary-key' } } },
  { name: 'a name with a line end', change: { headers: { 'x-a\r\nx-b': 'canary-key' } } },
  { name: 'a value that is a list', change: { headers: { 'x-a': ['canary-key'] } } },
  { name: 'a value with CR LF', change: { headers: { 'x-a': 'canary\r\nx-b: 1' }, secrets: ['canary\r\nx-b: 1'] } },
  { name: 'a value with NUL', change: { headers: { 'x-a': 'canary\0key' }, secrets: ['canary\0key'] } },
  { name: 'an empty value', change: { headers: { 'x-a': '' } } },
  { name: 'a value that ends in a space', change: { headers: { 'x-a': 'canary-key ' }, secrets: ['canary-key '] } },
  { name: 'a value that is no secret', change: { headers: { 'x-a': 'something' } } },
  { name: 'a value that only begins with a secret', change: { headers: { 'x-a': 'canary-key and more' } } },
  { name: 'a token behind its scheme that is no secret', change: { headers: { authorization: 'Bearer something' } } },
  { name: '17 headers', change: { headers: Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`x-${n}`, 'canary-key'])) } },
  { name: 'PATH', change: { env: { PATH: 'canary-key' } } },
  { name: 'NODE_OPTIONS', change: { env: { NODE_OPTIONS: 'canary-key' } } },
  { name: 'LD_PRELOAD', change: { env: { LD_PRELOAD: 'canary-key' } } },
  { name: 'CEDARGATE_HOME', change: { env: { CEDARGATE_HOME: 'canary-key' } } },
  { name: 'a variable that is no name', change: { env: { 'A=B': 'canary-key' } } },
  { name: 'a variable with NUL', change: { env: { A: 'canary\0key' }, secrets: ['canary\0key'] } },
  { name: 'a variable that is no secret', change: { env: { A: 'something' } } },
  { name: 'secrets that are none', change: { secrets: [1] } },
  { name: 'an empty secret', change: { secrets: ['', ...CREDENTIAL.secrets] } },
  { name: 'what nobody knows', change: { more: 1 } },
])('a credential with $name: nonsense', ({ change, decision = 'allow', code = 'permit' }) => {
  const credential = change === null ? null : { ...CREDENTIAL, ...change }
  expect(() => readVerdict({ ...GOOD, decision, code, credential }, QUESTION)).toThrow(
    expect.objectContaining({ code: 'pdp_unavailable' }),
  )
}) // biome-ignore format: a table

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
