// Owns test results as JUnit XML. Pure.
import type { TestResult } from '../../../pdp/src/policy-tests/run.ts'
import { printable } from '../output.ts'

/** One suite per file. No times: a result is the same on every run. */
export function junitXml(results: readonly TestResult[]): string {
  const suites = [...Map.groupBy(results, ({ file }) => file)].map(([file, own]) => {
    const cases = own.map(testCase).join('\n')
    return `<testsuite ${counts(file, own)}>\n${cases}\n</testsuite>`
  })
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${counts('cedargate policy test', results)}>`,
    ...suites,
    '</testsuites>\n',
  ].join('\n')
}

function counts(name: string, results: readonly TestResult[]): string {
  const failures = results.filter(({ passed }) => !passed).length
  return `name="${escaped(name)}" tests="${results.length}" failures="${failures}" errors="0"`
}

function testCase({ name, file, line, column, passed, expected, got }: TestResult): string {
  const open = `<testcase name="${escaped(name)}" classname="${escaped(file)}" file="${escaped(file)}" line="${line}"`
  if (passed) return `${open}/>`
  const message = escaped(`expected ${expected}, got ${got}`)
  return `${open}><failure message="${message}">${escaped(file)}:${line}:${column}</failure></testcase>`
}

/** XML 1.0 holds no control characters, lone surrogates or non-characters, even escaped. */
function escaped(text: string): string {
  return printable(text.toWellFormed())
    .replaceAll(/[\uFFFE\uFFFF]/g, '\uFFFD')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
