// Owns `npm run bench`: runs one benchmark and keeps its figures, with the machine they were taken on, in
// bench/results.json. A `--quick` run keeps nothing.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { cpus, loadavg, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { BENCHES } from './registry.ts'

const results = join(import.meta.dirname, '..', '..', 'bench', 'results.json')

/** Processes that already wanted a core when the benchmark began: above a fraction of one, the figures are not ours. */
const loadBefore = loadavg()[0] ?? 0
const LOAD_MAX = 0.5

function machine(): object {
  const cores = cpus()
  return {
    cores: cores.length,
    cpu: cores[0]?.model ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    loadBefore,
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
  if (loadBefore > LOAD_MAX)
    console.log(`the machine is busy (load ${loadBefore.toFixed(1)}): these figures mean little`)
  const figures = await bench.run({ quick: values.quick, say: (text) => console.log(text) })
  const goals = figures.goals ?? []
  for (const { name, value, most } of goals) {
    console.log(
      `${value <= most ? 'reached' : 'MISSED '}  ${name}: ${value.toFixed(2)} (at most ${most})`,
    )
  }
  if (goals.some(({ value, most }) => value > most)) process.exitCode = 1
  if (!values.quick) await keep(bench.name, figures)
}
