import { openPglite } from './pdp/src/store/open.ts'
const t0=performance.now()
const s = await openPglite(process.argv[2]!)
const t1=performance.now(); await s.migrate(); await s.checkMigrated(); const t2=performance.now()
console.log('open',t1-t0,'migrate+check',t2-t1, 'process', performance.now()); await s.close(); console.log('exitCode', process.exitCode)
