import { randomBytes, createSecretKey } from 'node:crypto'
import { createInstance } from './pdp/src/ledger/instance.ts'
import { sealDecision } from './pdp/src/ledger/seal-decision.ts'
const hex='ab'.repeat(32)
const pool = randomBytes(65536); let at=0
const random=(n:number)=>{ if(at+n>pool.length) at=0; at+=n; return pool.subarray(at-n,at)}
const inst = createInstance('01a204e0-cb13-7003-843e-1ce1d0c88db3', random)
const input = { pep: 'pep-1', user: 'alice', agent: 'ci', grantId: 'g', server: 'files', method: 'tools/call', definition: hex, bundle: hex, digests: { policySet: hex, schema: hex, mapper: hex },
  authorization: { decision: 'allow' as const, code: 'permit' as const, policies: ['a/b', 'platform/reads'], errors: [], tool: 'read_file', cedar: { request: '{"principal":1}', context: '{"a":2}'.repeat(40), entities: '[]'.repeat(50) }, arguments: '{"path":"x"}' }, time: Date.now(), mode: 'enforced' as const, identity: hex }
const subject = { ref: '1', key: createSecretKey(randomBytes(32)), person: 'x' }
const engine={ n: 'cedar-wasm', v: '4.13.0', h: hex }
for (let r=0;r<4;r++){ const t=performance.now(); for (let i=0;i<10000;i++) sealDecision({instance:inst,engine,random}, subject, input); console.log((performance.now()-t)/10,'µs') }
