// Owns `npm test`: every check and every suite, in one run with one last line. Never stops at the first failure, and says
// loudly what it had to leave out.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { whyNoBubblewrap, whyNoOtherUser } from '../pep/src/upstream/testing-isolation.ts'
import { findPostgres } from './harness/postgres.ts'

type Step = { readonly name: string; readonly command: readonly string[]; readonly counts?: string }
type Counts = { readonly passed: number; readonly failed: number; readonly skipped: number }
type Finished = Counts & { readonly name: string; readonly ok: boolean }

/** No step takes half of this; one that takes all of it hangs, and is ended. */
const STEP_TIMEOUT_MS = 20 * 60_000
const NONE: Counts = { passed: 0, failed: 0, skipped: 0 }

const root = join(import.meta.dirname, '..')
const reports = mkdtempSync(join(tmpdir(), 'cedargate-test-'))
const binaries = join(root, 'node_modules', '.bin')
const { FORCE_COLOR: _colour, ...inherited } = process.env
const environment = {
  ...(process.stdout.isTTY ? process.env : { ...inherited, NO_COLOR: '1' }),
  PATH: `${binaries}${delimiter}${process.env['PATH'] ?? ''}`,
}
const postgres = findPostgres()
/** What is left out of the unit tests, and why. */
const isolation = [
  { tests: 'servers in bubblewrap', why: whyNoBubblewrap() },
  { tests: 'servers as another OS user', why: whyNoOtherUser() },
].filter(({ why }) => why !== undefined)
let running: ChildProcess | undefined

function conformance(): Step {
  const counts = join(reports, 'conformance.json')
  const command = ['node', 'test/conformance/main.ts', '--counts', counts]
  return { name: 'official conformance suites, directly and through the gateway', command, counts }
}

function suite(project: string, name: string): Step {
  const counts = join(reports, `${project}.json`)
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${counts}`]
  return { name, command: ['vitest', 'run', '--project', project, ...reporters], counts }
}

const steps: readonly Step[] = [
  { name: 'types', command: ['tsc'] },
  { name: 'format', command: ['biome', 'ci', '.'] },
  { name: 'lint', command: ['oxlint', '--type-aware', '--deny-warnings'] },
  suite('unit', 'unit tests and style'),
  suite('pglite', 'end to end on PGlite'),
  ...(postgres === undefined ? [] : [suite('postgres', 'end to end on PostgreSQL')]),
  conformance(),
]

async function run(step: Step): Promise<Finished> {
  const [program = '', ...args] = step.command
  const began = performance.now()
  console.log(
    `\n── ${step.name}: ${program} ${args.filter((arg) => !arg.includes(reports)).join(' ')}`,
  )
  const ok = (await exitCode(program, args)) === 0
  const counts = step.counts === undefined ? NONE : readCounts(step.counts)
  // A file that cannot be loaded has no failed test, and a check has no tests at all: each still counts as a failure.
  const failed = ok ? counts.failed : Math.max(counts.failed, 1)
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  console.log(`── ${step.name}: ${ok ? 'ok' : 'FAILED'} in ${seconds} s`)
  return { ...counts, failed, name: step.name, ok }
}

function exitCode(program: string, args: readonly string[]): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: root,
      env: environment,
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    const timer = setTimeout(() => {
      console.log(`ended after ${STEP_TIMEOUT_MS / 60_000} minutes`)
      child.kill('SIGKILL')
    }, STEP_TIMEOUT_MS)
    running = child
    child.on('error', reject)
    child.on('close', (status) => {
      clearTimeout(timer)
      resolve(status)
    })
  })
}

/** What vitest's JSON reporter counted; nothing when it did not get as far as writing it. */
function readCounts(file: string): Counts {
  try {
    const report = JSON.parse(readFileSync(file, 'utf8')) as Record<string, number>
    const { numPassedTests = 0, numFailedTests = 0, numPendingTests = 0, numTodoTests = 0 } = report
    return {
      passed: numPassedTests,
      failed: numFailedTests,
      skipped: numPendingTests + numTodoTests,
    }
  } catch {
    return NONE
  }
}

const line = '!'.repeat(100)

function sayWhatWasLeftOut(): void {
  console.log(`\n${line}`)
  console.log(
    'NOT RUN: the end-to-end suite on PostgreSQL, because no `initdb` and `postgres` were found',
  )
  console.log(
    '(looked in PATH and in /usr/lib/postgresql). What you run in production was not tested.',
  )
  console.log(
    'Get it with `apt-get install postgresql` (Debian, Ubuntu) or `brew install postgresql`, then',
  )
  console.log(
    `run \`npm test\` again. No server needs to be running: the tests start their own.\n${line}`,
  )
}

function sayWhatWasNotIsolated(): void {
  console.log(`\n${line}`)
  for (const { tests, why } of isolation) console.log(`NOT RUN: ${tests}, because ${why}`)
  console.log(
    'Get them on Linux: `apt-get install bubblewrap`; run the tests as root for another user.',
  )
  console.log(line)
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    running?.kill(signal)
    process.exit(1)
  })
process.on('exit', () => rmSync(reports, { recursive: true, force: true }))

console.log(`will run: ${steps.map((step) => step.name).join(' · ')}`)
const began = performance.now()
const finished: Finished[] = []
for (const step of steps) finished.push(await run(step))

const bad = finished.filter((step) => !step.ok)
const total = (key: keyof Counts): number => finished.reduce((sum, step) => sum + step[key], 0)
console.log(`\nall of it in ${Math.round((performance.now() - began) / 1000)} s`)
if (bad.length > 0) console.log(`failed: ${bad.map((step) => step.name).join(' · ')}`)
if (postgres === undefined) sayWhatWasLeftOut()
if (isolation.length > 0) sayWhatWasNotIsolated()
console.log(`\n${total('passed')} passed, ${total('failed')} failed, ${total('skipped')} skipped`)
process.exitCode = bad.length > 0 ? 1 : 0
