// Owns `cedargate policy test`: running the tests of a bundle, and telling of them as a test runner does.
import { writeFile } from 'node:fs/promises'
import { withOffline } from '../../../pdp/src/policy-tests/diff.ts'
import {
  readTestFiles,
  readTests,
  runTests,
  type TestReport,
  type TestResult,
} from '../../../pdp/src/policy-tests/run.ts'
import { EXIT } from '../../../schemas/codes.ts'
import type { Context } from '../commands/context.ts'
import { CommandError } from '../errors.ts'
import { type Format, printable, type Terminal } from '../output.ts'
import { orInvalid, readBundle } from './bundle.ts'
import { junitXml } from './junit.ts'

export type TestOptions = {
  readonly junit?: string
  readonly allowNone: boolean
  readonly format: Format
}

/** Runs every test. Throws CommandError: exit 4 when one fails, 3 when bundle or tests are invalid, 2 for no tests. */
export async function testBundle(
  { config, io }: Pick<Context, 'config' | 'io'>,
  directory: string,
  { junit, allowNone, format }: TestOptions,
): Promise<void> {
  const report = await orInvalid(async () => {
    const bundle = await readBundle(directory, config)
    const tests = readTests(await readTestFiles(directory), bundle)
    if (tests.length === 0 && !allowNone) {
      throw new CommandError(`no tests in ${directory}`, {
        hint: 'write tests/*.yaml, see policies/README.md; or pass --allow-none',
      })
    }
    return withOffline(bundle, (offline) => runTests(tests, bundle, offline))
  })
  if (junit !== undefined) await writeFile(junit, junitXml(report.results)).catch(unwritable(junit))
  if (format === 'json') io.out(JSON.stringify(report, null, 2))
  else print(io, report)
  const failed = report.results.filter(({ passed }) => !passed).length
  if (failed === 0) return
  throw new CommandError(`${failed} of ${report.results.length} tests failed`, {
    exit: EXIT.testsFailed,
  })
}

function print(io: Terminal, { results, untested }: TestReport): void {
  for (const [file, own] of Map.groupBy(results, (result) => result.file)) {
    const failed = own.filter(({ passed }) => !passed)
    io.out(`${failed.length === 0 ? '✓' : '✗'} ${file}  ${own.length - failed.length} passed`)
    for (const result of failed) for (const line of failure(result)) io.out(`  ${line}`)
  }
  io.out(
    untested.length === 0 ? 'every policy is tested' : `no test determined: ${untested.join(', ')}`,
  )
}

function failure({ file, line, column, name, expected, got }: TestResult): string[] {
  return [
    `✗ ${file}:${line}:${column} ${printable(name)}`,
    `    expected ${printable(expected)}`,
    `    got      ${printable(got)}`,
  ]
}

function unwritable(path: string): (cause: unknown) => never {
  return (cause) => {
    throw new CommandError(`${path} cannot be written`, { cause })
  }
}
