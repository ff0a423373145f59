import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { startCluster } from '../harness/postgres.ts'
import { startChild } from './gateway/child-process.ts'
import { createDatabase, startApart, startTogether } from './gateway/services.ts'
const cluster = await startCluster({ durable: true })
const upstream = await startChild('upstream.ts')
const proxy = await startChild('reverse-proxy.ts', [upstream.url])
const which = process.argv[2] ?? 'c'
const db = await createDatabase(cluster.url, 'x')
if (process.env['PROF']) process.env['NODE_OPTIONS'] = `--cpu-prof --cpu-prof-dir=${process.env['PROF']}`
const g = await (which === 'c' ? startApart : startTogether)(db, upstream.url)
delete process.env['NODE_OPTIONS']
const load = fork(fileURLToPath(new URL('gateway/load.ts', import.meta.url)))
const b = { url: `${proxy.url}/mcp`, headers: {} }
const go = async (arm: any, connections: number, warmupMs: number, durationMs: number) => {
  load.send({ url: arm.url, headers: arm.headers, connections, warmupMs, durationMs })
  const [r] = (await once(load, 'message')) as any
  if (r.errors) console.log(r.firstError)
  return r
}
const W = Number(process.env['WARM'] ?? 8000)
await go(b, 64, 500, 2000); await go(g.arm, 64, 500, W)
import { execSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
const cpu = () => { const m = new Map<string, number>(); for (const p of readdirSync('/proc')) { if (!/^\d+$/.test(p)) continue; try { const cmd = readFileSync(`/proc/${p}/cmdline`, 'utf8').split('\0').join(' '); for (const t of readdirSync(`/proc/${p}/task`)) { const st = readFileSync(`/proc/${p}/task/${t}/stat`, 'utf8'); const f = st.slice(st.lastIndexOf(')') + 2).split(' '); m.set(`${cmd.includes(' pdp') ? 'pdp' : cmd.includes(' pep') ? 'pep' : cmd.includes('dev') ? 'dev' : cmd.includes('postgres') ? 'pg' : cmd.includes('load.ts')?'load': cmd.includes('upstream')?'up':'other'} ${st.slice(st.indexOf('('), st.indexOf(')') + 1)}`, (m.get(`${cmd.includes(' pdp') ? 'pdp' : cmd.includes(' pep') ? 'pep' : cmd.includes('dev') ? 'dev' : cmd.includes('postgres') ? 'pg' : cmd.includes('load.ts')?'load': cmd.includes('upstream')?'up':'other'} ${st.slice(st.indexOf('('), st.indexOf(')') + 1)}`) ?? 0) + (Number(f[11]) + Number(f[12])) * 10) } } catch {} } return m }
if (process.env['ONE']) await go(g.arm, 1, 0, 12000)
else for (const n of [1, 64]) { const c0 = cpu(); const r = await go(g.arm, n, 0, 4000); const c1 = cpu(); console.log(n, r.answered, [...c1].map(([k, v]) => [k, v - (c0.get(k) ?? 0)] as const).filter(([, v]) => v > 20).sort((a, b) => b[1] - a[1]).map(([k, v]) => `${k} ${(v / r.answered * 1000) | 0}us`).join(', ')) }
for (let i = 0; i < Number(process.env['N'] ?? 3); i++) {
  const x = await go(b, 1, 200, 2000), y = await go(g.arm, 1, 200, 3000)
  const x64 = await go(b, 64, 200, 2000), y64 = await go(g.arm, 64, 200, 4000)
  console.log(`1: b ${x.p50Us|0} ${which} ${y.p50Us|0} +${(y.p50Us-x.p50Us)|0} p99 ${y.p99Us|0}; 64: b ${x64.perSecond|0} ${which} ${y64.perSecond|0} ratio ${(y64.perSecond/x64.perSecond).toFixed(3)}`)
}
load.disconnect(); await g.stop(); await proxy.stop(); await upstream.stop(); await cluster.stop()
