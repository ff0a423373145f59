// Owns `npm run bench`: runs one benchmark and keeps its figures, with the machine they were taken on, in
// bench/results.json. A `--quick` run keeps nothing.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { cpus, loadavg, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { BENCHES, type Bench } from './registry.ts'

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

const USAGE = `usage: npm run bench -- [--quick] [<name>]

${BENCHES.map(({ name, about }) => `  ${name.padEnd(12)} ${about}`).join('\n')}

  --quick    a short run that keeps no figures`

async function main(words: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...words],
    options: { quick: { type: 'boolean', default: false }, help: { type: 'boolean' } },
    allowPositionals: true,
  })
  if (values.help === true) {
    console.log(USAGE)
    return 0
  }
  const [wanted = 'gateway'] = positionals
  const bench = BENCHES.find(({ name }) => name === wanted)
  if (bench === undefined) throw new Error(`no benchmark ${JSON.stringify(wanted)}`)
  return await measure(bench, values.quick)
}

/** 1 when a goal was missed. */
async function measure(bench: Bench, quick: boolean): Promise<number> {
  console.log(`${bench.name}: ${bench.about}`)
  if (loadBefore > LOAD_MAX)
    console.log(`the machine is busy (load ${loadBefore.toFixed(1)}): these figures mean little`)
  const figures = await bench.run({ quick, say: (text) => console.log(text) })
  const goals = figures.goals ?? []
  for (const { name, value, most } of goals) {
    console.log(
      `${value <= most ? 'reached' : 'MISSED '}  ${name}: ${value.toFixed(2)} (at most ${most})`,
    )
  }
  if (!quick) await keep(bench.name, figures)
  return goals.some(({ value, most }) => value > most) ? 1 : 0
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  const isUsage = error instanceof Error && /^no benchmark |option/.test(error.message)
  console.error(isUsage ? `${error.message}\n${USAGE}` : error)
  process.exitCode = 2
}
