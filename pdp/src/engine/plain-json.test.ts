// What must never enter wasm, and that everything else may.
import { expect, test } from 'vitest'
import { plainJsonFault } from './plain-json.ts'

const nested = (levels: number): unknown => {
  let value: unknown = 1
  for (let level = 0; level < levels; level++) value = [value]
  return value
}

test.each<{ name: string; value: unknown; fault: RegExp }>([
  { name: 'plain', value: { a: [1, 'x', null, { b: true }] }, fault: /^none$/ },
  { name: 'odd keys', value: JSON.parse('{"__proto__":{"constructor":1}}'), fault: /^none$/ },
  { name: 'a lone surrogate', value: ['\ud800'], fault: /surrogate/ },
  { name: 'a lone surrogate in a key', value: { '\udfff': 1 }, fault: /surrogate/ },
  { name: '__extn', value: { a: { __extn: {} } }, fault: /reserved/ },
  { name: '__entity', value: [[{ __entity: 1 }]], fault: /reserved/ },
  { name: '__expr', value: { __expr: '' }, fault: /reserved/ },
  { name: 'as deep as may be', value: nested(36), fault: /^none$/ },
  { name: 'deeper', value: nested(37), fault: /deep/ },
])('$name', ({ value, fault }) => {
  expect(plainJsonFault(value) ?? 'none').toMatch(fault)
})
