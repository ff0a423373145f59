// Owns `npm run test:conformance`: the official suite against the fixture, directly and through the gateway, and
// whether anything differs. One line per suite on stdout; progress and differences on stderr. Exit code 1 when
// anything differs, 2 when it could not be found out.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type Comparison, compareRuns } from './compare.ts'
import type { Difference } from './difference.ts'
import { startProcess } from './process.ts'
import { openThrough, runDirect, type Seen, type Through } from './run.ts'
import { countOf, LINES, type Line } from './suite.ts'

const USAGE = `usage: npm run test:conformance -- [--only <line>] [--keep <directory>]

Runs the official MCP conformance suites against a server of our own, directly and through the gateway,
and compares what was checked, what the client saw and what the server saw.

  --only <line>       one of: ${LINES.map(({ name }) => JSON.stringify(name)).join(', ')}
  --keep <directory>  leaves the recordings and the reports of the suites there
  --counts <file>     writes how much was compared, for \`npm test\``

const began = performance.now()
const stopping = new AbortController()
const { signal } = stopping

function say(text: string): void {
  process.stderr.write(
    `${((performance.now() - began) / 1000).toFixed(1).padStart(5)} s  ${text}\n`,
  )
}

type Both = { readonly line: Line; readonly direct: Seen; readonly through: Seen }

/** All lines, each directly and through one gateway; never more than two suites at a time, for they take the time. */
async function runAll(lines: readonly Line[], directory: string): Promise<Both[]> {
  const fixture = await startProcess('fixture/main.ts', String(2 * lines.length + 1))
  const [reviewed = '', ...urls] = (JSON.parse(fixture.said) as number[]).map(
    (port) => `http://127.0.0.1:${port}/mcp`,
  )
  const runOf = (line: Line, way: 'direct' | 'through', index: number) => ({
    line,
    fixture: new URL(urls[index] ?? ''),
    directory: join(directory, line.id, way),
    signal,
  })
  const opened = await Promise.all(
    lines.map((line, index) => openThrough(runOf(line, 'through', lines.length + index))),
  )
  const direct = async (): Promise<Seen[]> => {
    const seen: Seen[] = []
    for (const [index, line] of lines.entries()) {
      seen.push(await runDirect(runOf(line, 'direct', index)))
      say(`${line.name}: ran directly`)
    }
    return seen
  }
  try {
    const [own, through] = await Promise.all([direct(), runThrough(lines, opened, reviewed)])
    return lines.flatMap((line, index) => {
      const [seen, other] = [own[index], through[index]]
      return seen === undefined || other === undefined
        ? []
        : [{ line, direct: seen, through: other }]
    })
  } finally {
    stopping.abort()
    await Promise.all(opened.map(({ close }) => close()))
    await fixture.stop()
  }
}

async function runThrough(
  lines: readonly Line[],
  opened: readonly Through[],
  reviewed: string,
): Promise<Seen[]> {
  const ids = lines.map(({ id }, index) => [id, opened[index]?.serverUrl])
  const origins = opened.map(({ origin }) => origin)
  const settings = { servers: Object.fromEntries(ids), reviewed, origins }
  const gateway = await startProcess('gateway.ts', JSON.stringify(settings))
  say('the gateway serves')
  const seen: Seen[] = []
  try {
    for (const [index, line] of lines.entries()) {
      const one = await opened[index]?.run(JSON.parse(gateway.said))
      if (one !== undefined) seen.push(one)
      say(`${line.name}: ran through the gateway`)
    }
    return seen
  } finally {
    await gateway.stop()
  }
}

/** The line on stdout, and everything that differs on stderr. */
function report({ line, direct, through }: Both): Comparison {
  const [own, other] = [countOf(direct.checks), countOf(through.checks)]
  const compared = compareRuns(direct, through)
  const isAsBefore = own.passed === line.passed && own.failed === line.failed
  const fixture: Difference[] = isAsBefore
    ? []
    : [
        {
          scenario: 'all of them',
          where: 'the fixture is not what it was',
          direct: `${own.passed}/${own.failed}`,
          through: `should directly be ${line.passed}/${line.failed}`,
        },
      ]
  const differences = [...fixture, ...compared.differences]
  for (const difference of differences) process.stderr.write(told(line, difference))
  process.stdout.write(
    `${line.name} direct ${own.passed}/${own.failed} through ${other.passed}/${other.failed}\n`,
  )
  return { ...compared, differences }
}

function told(line: Line, { scenario, where, direct, through }: Difference): string {
  return `\n${line.name} · ${scenario} · ${where}\n  direct   ${cut(direct)}\n  through  ${cut(through)}\n`
}

/** Enough of it to see what it is. */
function cut(text: string): string {
  const TEXT_LENGTH_MAX = 1200
  const whole = text.replaceAll('\n', '\n           ')
  return whole.length > TEXT_LENGTH_MAX ? `${whole.slice(0, TEXT_LENGTH_MAX)} …` : whole
}

type Options = { readonly only?: string; readonly keep?: string; readonly counts?: string }

async function main({ only, keep, counts }: Options): Promise<number> {
  const lines = LINES.filter(({ name }) => only === undefined || name === only)
  if (lines.length === 0) {
    process.stderr.write(`there is no line ${JSON.stringify(only)}\n${USAGE}\n`)
    return 2
  }
  const directory =
    keep === undefined ? await mkdtemp(join(tmpdir(), 'cedargate-suites-')) : resolve(keep)
  await mkdir(directory, { recursive: true })
  try {
    const runs = await runAll(lines, directory)
    if (keep !== undefined) await keepAll(runs, directory)
    const compared = runs.map(report)
    const differences = compared.flatMap(({ differences: found }) => found).length
    const passed = compared.reduce((sum, one) => sum + one.compared, 0)
    if (counts !== undefined) {
      const vitest = { numPassedTests: passed - differences, numFailedTests: differences }
      await writeFile(counts, JSON.stringify(vitest))
    }
    say(`${passed} checks and exchanges compared, ${differences} differ`)
    return differences === 0 ? 0 : 1
  } finally {
    if (keep === undefined) await rm(directory, { recursive: true, force: true })
  }
}

async function keepAll(runs: readonly Both[], directory: string): Promise<void> {
  for (const { line, direct, through } of runs) {
    await writeFile(join(directory, line.id, 'direct.json'), JSON.stringify(direct, null, 1))
    await writeFile(join(directory, line.id, 'through.json'), JSON.stringify(through, null, 1))
  }
}

const options = {
  help: { type: 'boolean' },
  only: { type: 'string' },
  keep: { type: 'string' },
  counts: { type: 'string' },
} as const
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stopping.abort())
try {
  const { values } = parseArgs({ options })
  if (values.help === true) process.stdout.write(`${USAGE}\n`)
  else process.exitCode = await main(values)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
  process.exitCode = 2
}
