// Owns one run of the official suite against one URL: which package, which set, what it checked. Never judges a check.
import { spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { z } from 'zod'

/** One line of what the run prints. */
export type Line = {
  readonly name: string
  readonly package: string
  readonly args: readonly string[]
  /** Id of its server in the gateway. */
  readonly id: string
  /**
   * What the fixture gets directly. More than the reference's 164/30 on the last line: that one serves no tasks, an
   * extension which is not scored, and ours does.
   */
  readonly passed: number
  readonly failed: number
}

export const LINES: readonly Line[] = [
  {
    name: '0.1.16 all',
    package: '@modelcontextprotocol/conformance',
    args: ['--suite', 'all'],
    id: 'stable',
    passed: 44,
    failed: 0,
  },
  {
    name: '0.2.0-alpha.12 2025-11-25',
    package: 'conformance-next',
    args: ['--requirements', '2025-11-25'],
    id: 'legacy',
    passed: 84,
    failed: 0,
  },
  {
    name: '0.2.0-alpha.12 2026-07-28',
    package: 'conformance-next',
    args: ['--requirements', '2026-07-28'],
    id: 'modern',
    passed: 196,
    failed: 0,
  },
]

const check = z.object({
  id: z.string(),
  name: z.string(),
  status: z.enum(['SUCCESS', 'FAILURE', 'WARNING', 'SKIPPED', 'INFO']),
  errorMessage: z.string().optional(),
})
export type Check = z.infer<typeof check> & { readonly scenario: string }

/** Longer than any run takes; one that does hangs. */
const SUITE_TIMEOUT_MS = 120_000
const root = join(import.meta.dirname, '..', '..')
const node = join(root, 'node_modules', '.bin', 'node')

export type SuiteRun = {
  /** The scenario that runs now; empty before the first. */
  readonly scenario: () => string
  /** Every check of every scenario, in order. Rejects when the suite did not run to its end, or `signal` ended it. */
  readonly run: (url: string, signal: AbortSignal) => Promise<Check[]>
}

/** `directory` is there and empty; what the suite writes stays there. */
export function openSuite(line: Line, directory: string): SuiteRun {
  const said = join(directory, 'said.txt')
  closeSync(openSync(said, 'w'))
  return {
    // The suite writes its line before it sends a byte, and a file is written at once: so what is there is true.
    scenario: () => {
      const lines = readFileSync(said, 'utf8').matchAll(/^=== Running scenario: (\S+) ===$/gm)
      return [...lines].at(-1)?.[1] ?? ''
    },
    async run(url, signal) {
      const command = entryOf(line.package)
      const words = ['server', '--url', url, ...line.args, '-o', join(directory, 'checks')]
      const ended = await spawnInto(said, [command, ...words], signal)
      const text = readFileSync(said, 'utf8')
      const total = /^Total: (\d+) passed, (\d+) failed/m.exec(text)
      if (total === null) throw new Error(`${line.name} ended with ${ended}:\n${text.slice(-2000)}`)
      const checks = readChecks(join(directory, 'checks'))
      const counted = countOf(checks)
      if (total[1] !== String(counted.passed) || total[2] !== String(counted.failed))
        throw new Error(`${line.name} says ${total[0]}, but wrote ${JSON.stringify(counted)}`)
      return checks
    },
  }
}

export function countOf(checks: readonly Check[]): { passed: number; failed: number } {
  const count = (wanted: Check['status']) => checks.filter(({ status }) => status === wanted).length
  return { passed: count('SUCCESS'), failed: count('FAILURE') }
}

function entryOf(name: string): string {
  const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`)
  return join(dirname(manifest), 'dist', 'index.js')
}

function spawnInto(
  file: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<number | string | null> {
  const output = openSync(file, 'a')
  const child = spawn(node, args, {
    stdio: ['ignore', output, output],
    signal,
    timeout: SUITE_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  })
  closeSync(output)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, ending) => resolve(code ?? ending))
  })
}

/** Each scenario has a folder, named with the time it began. */
function readChecks(directory: string): Check[] {
  const folders = readdirSync(directory).map((folder) => {
    const [, scenario = '', at = ''] = /^(?:server-)?(.+)-(\d{4}-\d\d-\d\dT.+Z)$/.exec(folder) ?? []
    return { folder, scenario, at }
  })
  return folders
    .toSorted((a, b) => (a.at < b.at ? -1 : Number(a.at > b.at)))
    .flatMap(({ folder, scenario }) => {
      const text = readFileSync(join(directory, folder, 'checks.json'), 'utf8')
      return z
        .array(check)
        .parse(JSON.parse(text))
        .map((one) => ({ ...one, scenario }))
    })
}
