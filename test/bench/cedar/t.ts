import { benchBundle } from './bundles.ts'
import { withFiles } from '../../../pdp/src/bundle/testing.ts'
import { tmpdir } from 'node:os'
import { readBundleFiles } from '../../../pdp/src/bundle/files.ts'
import { openDirectory } from '../../../pdp/src/bundle/directory.ts'
import { loadFiles } from '../../../pdp/src/bundle/load.ts'
import { loadAside } from '../../../pdp/src/bundle/load-aside.ts'
import { startEngine } from '../../../pdp/src/engine/engine.ts'
const n = Number(process.argv[2] ?? 1000)
await withFiles(tmpdir(), benchBundle(n), async (d) => {
  const files = await readBundleFiles(await openDirectory(d))
  for (let i=0;i<2;i++) {
    let t = performance.now(); const b = await loadFiles(files, {env:{}}); console.log('loadFiles', performance.now()-t|0)
    t = performance.now(); await loadAside(files, {env:{}}); console.log('loadAside', performance.now()-t|0)
    const e = await startEngine({workers:2}); t=performance.now(); await e.activate(b.generation); console.log('activate', performance.now()-t|0, (b.generation.bytes.length/1e6).toFixed(1),'MB'); await e.stop()
  }
})
process.exit()
