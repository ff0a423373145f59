import { randomBytes } from 'node:crypto'
import { openPglite } from './pdp/src/store/open.ts'
import { openLedger } from './pdp/src/ledger/ledger.ts'
import { createKeys, loadKeys } from './pdp/src/keys/keys.ts'
import { fsck } from './pdp/src/ledger/fsck.ts'
import { listDecisions } from './pdp/src/ledger/decisions.ts'
import { appendStatement } from './schemas/database/append.ts'
import { mkdtempSync } from 'node:fs'
const dir = mkdtempSync('/tmp/hs/k')
await createKeys(dir)
const keys = await loadKeys(dir)
let t = performance.now()
const store = await openPglite(process.argv[2] ?? 'memory://')
console.log('open', performance.now() - t); t = performance.now()
await store.migrate()
console.log('migrate', performance.now() - t); t = performance.now()
await store.checkMigrated()
console.log('check', performance.now() - t)
const clock = { now: () => Date.now(), monotonic: () => performance.now() }
const hex = 'ab'.repeat(32)
const ledger = await openLedger({ store, keys, engine: { n: 'cedar-wasm', v: '4.13.0', h: hex }, clock, random: (n) => randomBytes(n) })
await ledger.prepare(['alice', null], clock.now())
const input = { pep: 'pep-1', user: 'alice', agent: 'ci', grantId: 'g', server: 'files', method: 'tools/call', definition: hex, bundle: hex, digests: { policySet: hex, schema: hex, mapper: hex },
  authorization: { decision: 'allow' as const, code: 'permit' as const, policies: ['a/b', 'we"ird\\x'], errors: [], tool: 'read\0file', cedar: { request: '{"principal":1}', context: '{"a":2}'.repeat(40), entities: '[]'.repeat(50) }, arguments: '{"path":"x"}' }, time: Date.now(), mode: 'enforced' as const, identity: hex }
const pep = store.withRole('cedargate_pep')
for (let i = 0; i < 3; i++) {
  const { id, record } = ledger.seal(input)
  const s = appendStatement('pglite', [record])
  await pep.query(s.text, s.params)
  await pep.query(s.text, s.params)
  await ledger.sealOutcomes('pep-1', [{ decisionId: id, result: 'forwarded', status: 200, upstreamMs: 3, isError: false, bytes: 10 }])
}
console.log(await listDecisions({ store, vault: keys.vault }, { limit: 2 }))
await ledger.close()
for await (const l of fsck({ store, deploymentPublicKey: keys.deployment.publicKey, vault: keys.vault, now: Date.now() + 1e6 })) console.log(l)
console.log(await store.sql.query('select count(*) from pending'), ledger.stats())
for (let k = 0; k < 3; k++) {
  const l2 = await openLedger({ store, keys, engine: { n: 'cedar-wasm', v: '4.13.0', h: hex }, clock, random: (n) => randomBytes(n) })
  await l2.prepare(['alice'], clock.now())
  t = performance.now(); const rs = []
  for (let i = 0; i < 3000; i++) rs.push(l2.seal(input).record)
  console.log('seal us', (performance.now() - t) / 3)
  console.log(rs[0].leaf.length, rs[0].detail!.ct.length)
}
await store.close()
