// Owns the comparison of what the suite checked in two runs: the same checks, with the same result.
import type { Difference } from './difference.ts'
import type { Check } from './suite.ts'

/** The only checks that may pass through the gateway and not directly. */
const ADDITIONS: ReadonlySet<string> = new Set(['dns-rebinding-protection'])

/** By scenario, id and name; what came several times, in order. */
export function* compareChecks(
  direct: readonly Check[],
  through: readonly Check[],
): Generator<Difference> {
  const theirs = Map.groupBy(through, ({ scenario }) => scenario)
  for (const [scenario, checks] of Map.groupBy(direct, (check) => check.scenario)) {
    const others = theirs.get(scenario) ?? []
    for (const { a, b } of zip(numbered(checks), numbered(others))) {
      if (a?.check.status === b?.check.status) continue
      if (ADDITIONS.has(scenario) && b?.check.status === 'SUCCESS') continue
      const where = `check ${(a ?? b)?.key}`
      yield { scenario, where, direct: statusOf(a?.check), through: statusOf(b?.check) }
    }
  }
}

/** The same check may come several times in one scenario. */
function numbered(checks: readonly Check[]): Map<string, { key: string; check: Check }> {
  const found = new Map<string, { key: string; check: Check }>()
  for (const check of checks) {
    let nth = 1
    while (found.has(`${check.id} (${check.name}) #${nth}`)) nth++
    const key = `${check.id} (${check.name}) #${nth}`
    found.set(key, { key, check })
  }
  return found
}

function zip<Value>(a: ReadonlyMap<string, Value>, b: ReadonlyMap<string, Value>) {
  return [...new Set([...a.keys(), ...b.keys()])].map((key) => ({ a: a.get(key), b: b.get(key) }))
}

function statusOf(check: Check | undefined): string {
  if (check === undefined) return 'was not made'
  return [check.status, check.errorMessage ?? ''].join(' ').trim()
}
