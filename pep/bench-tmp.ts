import { countingSql, createTestPdp, httpUpstream, startTestPep } from './src/testing.ts'

const pdp = createTestPdp([httpUpstream('up', process.argv[2]!)])
const sql = { dialect: 'pglite' as const, query: async () => [] }
const pep = await startTestPep({ pdp: pdp.port, sql })
setInterval(() => {
  pdp.calls.length = 0
  pdp.outcomes.length = 0
}, 100)
process.on('SIGTERM', () => process.exit(0))
console.log(pep.port)
