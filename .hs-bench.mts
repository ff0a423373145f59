import crypto, { randomBytes, generateKeyPairSync, sign, createHmac, createCipheriv, hash, createSecretKey } from 'node:crypto'
import { encryptDetail } from './pdp/src/ledger/detail.ts'; import { commit } from './pdp/src/ledger/commitments.ts'
import { createInstance } from './pdp/src/ledger/instance.ts'
import { canonicalJson } from './schemas/canonical-json.ts'
import { cpuUsage } from 'node:process'
const hex='ab'.repeat(32)
function bench(name: string, f: () => void, n = 5000) {
  for (let i = 0; i < 500; i++) f()
  const c0 = cpuUsage(); const t0 = performance.now()
  for (let i = 0; i < n; i++) f()
  const c = cpuUsage(c0)
  console.log(name.padEnd(24), 'cpu µs', ((c.user + c.system) / n).toFixed(1), 'wall', ((performance.now() - t0) * 1000 / n).toFixed(1))
}
const S = randomBytes(32)
const values = { sub: '{"user":"alice"}', req: '{"principal":1}'.repeat(4), args: '{"path":"x"}'.repeat(20), ctx: '{"a":2}'.repeat(40), ent: '[]'.repeat(50), idt: hex + hex }
const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const d = randomBytes(32)
const key = createSecretKey(randomBytes(32))
bench('sign', () => sign(null, d, privateKey))
bench('randomBytes(32)', () => randomBytes(32))
bench('hash 32', () => hash('sha256', d, 'buffer'))
bench('hash hex', () => hash('sha256', d))
bench('createHmac', () => createHmac('sha256', S).update('sub').digest())
bench('createHmac keyobj', () => createHmac('sha256', key).update('sub').digest())
bench('commit', () => commit(S, values))
bench('encrypt', () => encryptDetail({ key, id: '01a204e0-cb13-7003-843e-1ce1d0c88db3', leafHash: d }, d.subarray(0,12), {salt:S, values}))
const inst = createInstance('01a204e0-cb13-7003-843e-1ce1d0c88db3', (n) => randomBytes(n))
const c = commit(S, values)
const body = { k: 'decision' as const, pep: 'p', ag: 'a', sv: 'files', mt: 'tools/call', tl: 'read', td: hex, c, b: hex, ps: { d: hex, s: hex, i: null, m: hex }, eng: { n: 'cedar', v: '1', h: hex }, dc: { r: 'allow' as const, by: ['a', 'b'], er: [] }, cd: 'permit' as const, mode: 'enforced' as const, cls: 'recorded' as const }
bench('canonicalJson', () => canonicalJson(body as never))
bench('JSON.stringify', () => JSON.stringify(body))
bench('issue', () => inst.issue(body, 1763800002000))
bench('cipher only', () => { const x = createCipheriv('aes-256-gcm', S, d.subarray(0, 12)); x.update(d); x.final(); x.getAuthTag() })
bench('Buffer.concat', () => Buffer.concat([d, d, d]))
