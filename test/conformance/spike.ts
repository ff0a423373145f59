// Owns nothing yet.
import { writeFileSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import { startProcess } from './process.ts'
import { openThrough, runDirect } from './run.ts'
import { countOf, LINES } from './suite.ts'
const t0=performance.now(); const say=(s:string)=>console.error(((performance.now()-t0)/1000).toFixed(1),s)
const keep = process.argv[2] ?? mkdtempSync(join(tmpdir(),'conf-'))
const fixture = await startProcess('fixture/main.ts', String(LINES.length*2+1))
say('fixture')
const ports = (JSON.parse(fixture.said) as number[]).map(p=>new URL(`http://127.0.0.1:${p}/mcp`))
const through = await Promise.all(LINES.map((l,i)=>openThrough(l, ports[LINES.length+i]!, join(keep,'through',l.id))))
const gwp = startProcess('gateway.ts', JSON.stringify({servers:Object.fromEntries(LINES.map((l,i)=>[l.id,through[i]!.serverUrl])), reviewed: ports.at(-1)!.href, origins: through.map(t=>t.origin)}))
const direct = await Promise.all(LINES.map((l,i)=>runDirect(l, ports[i]!, join(keep,'direct',l.id))))
say('direct')
const gw = await gwp; say('gateway '+gw.said)
for (const [i,l] of LINES.entries()) {
  const d = direct[i]!
  writeFileSync(join(keep,`${l.id}.direct.json`), JSON.stringify(d,null,1))
  console.log(l.name,'direct',countOf(d.checks))
  try { const t = await through[i]!.run(JSON.parse(gw.said)); 
  writeFileSync(join(keep,`${l.id}.through.json`), JSON.stringify(t,null,1))
  console.log(l.name,'through',countOf(t.checks)); } catch (e) { console.log(e) }
  say(l.name)
}
await gw.stop(); say('stopped')
await fixture.stop(); for (const t of through) await t.close()
