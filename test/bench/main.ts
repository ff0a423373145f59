// Owns `npm run bench`: runs one benchmark and keeps its figures, with the machine they were taken on, in
// bench/results.json. A `--quick` run keeps nothing.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { BENCHES } from './registry.ts'

const results = join(import.meta.dirname, '..', '..', 'bench', 'results.json')

function machine(): object {
  const cores = cpus()
  return {
    cores: cores.length,
    cpu: cores[0]?.model ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
  }
}

/** The figures of other benchmarks stay as they are. */
async function keep(name: string, figures: object): Promise<void> {
  const before = await readFile(results, 'utf8').catch(() => '{}')
  const entry = { at: new Date().toISOString(), machine: machine(), ...figures }
  const after = { ...(JSON.parse(before) as object), [name]: entry }
  await mkdir(dirname(results), { recursive: true })
  await writeFile(results, `${JSON.stringify(after, null, 2)}\n`)
}

const { values, positionals } = parseArgs({
  options: { quick: { type: 'boolean', default: false } },
  allowPositionals: true,
})
const wanted = positionals[0] ?? 'gateway'
const bench = BENCHES.find(({ name }) => name === wanted)
if (bench === undefined) {
  console.error(
    `no benchmark \`${wanted}\`; there is: ${BENCHES.map(({ name }) => name).join(', ')}`,
  )
  process.exitCode = 2
} else {
  console.log(`${bench.name}: ${bench.about}`)
  const figures = await bench.run({ quick: values.quick, say: (text) => console.log(text) })
  if (!values.quick) await keep(bench.name, figures)
}
