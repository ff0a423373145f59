// Owns the check that the columns of a row say exactly what its leaf says, for each kind of leaf.
import { describe, expect, test } from 'vitest'
import { canonicalJson } from './canonical-json.ts'
import { type Leaf, leaf, leafColumns } from './leaf.ts'

const id = '0198c0de-0000-7000-8000-000000000001'
const epoch = '0198c0de-0000-7000-8000-000000000002'
const hash = 'a'.repeat(64)
const digest = Buffer.alloc(32).toString('base64')
const head = { v: 1, id, t: 1_800_000_000_000, pdp: 'key-1', ep: epoch, sq: 3, pv: hash } as const
const decision: Leaf = {
  ...head,
  k: 'decision',
  pep: 'pep-1',
  ag: 'claude',
  sv: 'files',
  mt: 'tools/call',
  tl: 'read_file',
  td: hash,
  c: { sub: digest, req: digest, args: digest, ctx: digest, ent: digest, idt: digest },
  b: hash,
  ps: { d: hash, s: hash, i: null, m: hash },
  eng: { n: 'cedar', v: '4.13.0', h: hash },
  dc: { r: 'allow', by: ['team/read'], er: [] },
  cd: 'permit',
  mode: 'enforced',
  cls: 'recorded',
}
const outcome: Leaf = {
  ...head,
  k: 'outcome',
  of: epoch,
  pep: 'pep-1',
  rs: 'forwarded',
  st: 200,
  ms: 4,
  er: false,
  by: 10,
}
const open: Leaf = { ...head, k: 'pdp-open', pub: digest, dep: 'dep-1', dsig: digest }
const close: Leaf = { ...head, k: 'pdp-close', n: 4 } // biome-ignore format: a fixture a line

const none = {
  pep: null, agent: null, server: null, method: null, tool: null, verdict: null, code: null, policies: null,
  bundle: null, mode: null, decision: null,
} // biome-ignore format: one list
const base = { ...none, id, at: head.t, epoch, seq: 3 }

describe('leafColumns', () => {
  test.each<{ of: Leaf; want: object }>([
    {
      of: decision,
      want: {
        ...base,
        kind: 'decision',
        pep: 'pep-1',
        agent: 'claude',
        server: 'files',
        method: 'tools/call',
        tool: 'read_file',
        verdict: 'allow',
        code: 'permit',
        policies: ['team/read'],
        bundle: hash,
        mode: 'enforced',
      },
    },
    { of: { ...decision, tl: null, td: null }, want: { tool: null, method: 'tools/call' } },
    { of: outcome, want: { ...base, kind: 'outcome', pep: 'pep-1', decision: epoch } },
    { of: open, want: { ...base, kind: 'pdp-open' } },
    { of: close, want: { ...base, kind: 'pdp-close' } },
  ])('$of.k', ({ of, want }) => {
    expect(leafColumns(of)).toMatchObject(want)
    expect(Object.keys(leafColumns(of)).toSorted()).toEqual(
      [...Object.keys(base), 'kind'].toSorted(),
    )
  })
})

describe('the leaf schema', () => {
  test.each([decision, outcome, open, close])('$k survives its canonical text', (of) => {
    expect(leaf.parse(JSON.parse(canonicalJson(of)))).toEqual(of)
  })

  test.each<{ name: string; change: object }>([
    { name: 'an extra field', change: { note: 'x' } },
    { name: 'an unknown code', change: { cd: 'fine' } },
    { name: 'a third verdict', change: { dc: { r: 'maybe', by: [], er: [] } } },
    { name: 'another version', change: { v: 2 } },
    { name: 'a fraction of a millisecond', change: { t: 1.5 } },
    { name: 'a negative sequence', change: { sq: -1 } },
    { name: 'a short hash', change: { pv: 'aa' } },
    { name: 'an unknown kind', change: { k: 'other' } },
  ])('refuses $name', ({ change }) => {
    expect(leaf.safeParse({ ...decision, ...change }).success).toBe(false)
  })
})
