import crypto, { randomBytes, generateKeyPairSync, sign, createHmac, createCipheriv, hash, createSecretKey } from 'node:crypto'
import { cpuUsage } from 'node:process'
function bench(name: string, f: () => void, n = 10000) {
  for (let i = 0; i < 1000; i++) f()
  const c0 = cpuUsage(); const t0 = performance.now()
  for (let i = 0; i < n; i++) f()
  const c = cpuUsage(c0)
  console.log(name.padEnd(24), 'cpu µs', ((c.user + c.system) / n).toFixed(1), 'wall', ((performance.now() - t0) * 1000 / n).toFixed(1))
}
const S = randomBytes(32), d = randomBytes(32), big = randomBytes(700)
const key = createSecretKey(S)
bench('hash buffer', () => hash('sha256', d, 'buffer'))
bench('hash latin1', () => hash('sha256', d, 'latin1'))
bench('hash hex', () => hash('sha256', d, 'hex'))
bench('hash big latin1', () => hash('sha256', big, 'latin1'))
bench('hmac buffer', () => createHmac('sha256', S).update('sub').digest())
bench('hmac keyobj', () => createHmac('sha256', key).update('sub').digest())
bench('hmac keyobj latin1', () => createHmac('sha256', key).update('sub').digest('latin1'))
for (const alg of ['aes-256-gcm', 'chacha20-poly1305'] as const) {
  const nonce = d.subarray(0, 12)
  bench(alg + ' buf', () => { const x = createCipheriv(alg as 'aes-256-gcm', S, nonce, {authTagLength:16}); x.update(big); x.final(); x.getAuthTag() })
  bench(alg + ' keyobj', () => { const x = createCipheriv(alg as 'aes-256-gcm', key, nonce, {authTagLength:16}); x.update(big); x.final(); x.getAuthTag() })
  bench(alg + ' create', () => { createCipheriv(alg as 'aes-256-gcm', key, nonce, {authTagLength:16}) })
}
bench('createSecretKey', () => { createSecretKey(S) })
bench('randomBytes(4096)', () => randomBytes(4096))
const { privateKey } = generateKeyPairSync('ed25519')
bench('sign', () => sign(null, d, privateKey))
