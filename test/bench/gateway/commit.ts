// Owns the row nobody can save: one record of one decision, inserted and committed alone, on one connection.
import { randomBytes, randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { canonicalJson } from '../../../schemas/canonical-json.ts'
import { appendStatement, PEP_ROLE } from '../../../schemas/database/append.ts'
import type { SignedRecord } from '../../../schemas/leaf.ts'

const hex = (bytes: number): string => randomBytes(bytes).toString('hex')
const base64 = (bytes: number): string => randomBytes(bytes).toString('base64')

/** A record of the size and shape the gateway writes for the measured call. Its signature is noise. */
function recordLike(seq: number): SignedRecord {
  const commitment = base64(32)
  const leaf = canonicalJson({
    v: 1,
    k: 'decision',
    id: randomUUID(),
    t: Date.now(),
    pdp: hex(8),
    ep: randomUUID(),
    sq: seq,
    pv: hex(32),
    pep: 'bench',
    ag: 'load',
    sv: 'bench',
    mt: 'tools/call',
    tl: 'lookup',
    td: hex(32),
    c: { sub: commitment, req: commitment, args: commitment, ctx: commitment, ent: commitment, idt: commitment },
    b: hex(32),
    ps: { d: hex(32), s: hex(32), i: null, m: hex(32) },
    eng: { n: 'cedar', v: '4.13.0', h: hex(32) },
    dc: { r: 'allow', by: ['load/lookup'], er: [] },
    cd: 'permit',
    mode: 'enforced',
    cls: 'recorded',
  }) // biome-ignore format: a fixture
  const detail = { key: '1', ct: base64(900) }
  return { leaf, hash: hex(32), sig: base64(64), person: base64(16), detail }
}

/** p50 in µs of `samples` commits, after a tenth as many to warm up. `url` is a migrated database. */
export async function commitP50Us(url: string, samples: number): Promise<number> {
  const client = new Client({ connectionString: url })
  await client.connect()
  const took: number[] = []
  try {
    await client.query(`set role ${PEP_ROLE}`)
    for (let index = -samples / 10; index < samples; index++) {
      const { name, text, params } = appendStatement('postgres', [recordLike(Math.max(index, 0))])
      const began = performance.now()
      await client.query({ ...(name ? { name } : {}), text, values: [...(params ?? [])] })
      if (index >= 0) took.push((performance.now() - began) * 1000)
    }
  } finally {
    await client.end()
  }
  return took.toSorted((a, b) => a - b)[Math.floor(took.length / 2)] ?? Number.NaN
}
