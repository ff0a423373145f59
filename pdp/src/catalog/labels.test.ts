// The rules against labels that others made, and on real definitions; only where that data lies beside the project. The
// labels are partly wrong and the rules are not fitted to them: the figures are printed, and only floors are held.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { changeOf } from './change.ts'
import { classify } from './classify.ts'
import { diffDefinitions } from './definition-diff.ts'
import { makeToolsLock } from './lock.ts'
import { EFFECTS, type Effect } from './verbs.ts'

const data = join(import.meta.dirname, '../../../../shared/data')
type Label = { server: string; tool: string; group: string; description: string }
type Listed = { server: string; tools: { name: string; inputSchema: { type: 'object' } }[] }
const read = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'))

/** `Financial` says nothing about the effect, `Other` nothing at all. */
const EFFECT_OF: Readonly<Record<string, Effect>> = {
  Read: 'read',
  Write: 'write',
  Destructive: 'destructive',
  Execute: 'execute',
}

describe.runIf(existsSync(data))('beside the project', () => {
  test('labels', () => {
    const labels = read(join(data, 'tool-risk-labels.json')) as Label[]
    const rated = labels.map(({ server, tool: name, group, description }) => ({
      group,
      wanted: EFFECT_OF[group],
      found: classify({ name, description }, { server }),
    }))
    const groups = Map.groupBy(rated, ({ group }) => group)
    for (const [group, rows] of groups) {
      const counts = EFFECTS.map((it) => [it, rows.filter(({ found }) => found.effect === it).length])
      console.log(`${group} ${rows.length}: ${counts.map(([it, count]) => `${it} ${count}`).join(', ')}`)
    }
    const share = (rows: typeof rated, wanted: (row: (typeof rated)[number]) => boolean): number =>
      rows.filter(wanted).length / rows.length
    const known = rated.filter(({ wanted }) => wanted !== undefined)
    const agreement = share(known, ({ wanted, found }) => wanted === found.effect)
    const recall = share(groups.get('Destructive') ?? [], ({ found }) => found.risk === 'destructive')
    const harmless = known.filter(({ found }) => found.risk === 'read')
    const reads = share(harmless, ({ wanted }) => wanted === 'read')
    console.log(`agreement ${agreement.toFixed(3)}, destructive recall ${recall.toFixed(3)}, precision of read ${reads.toFixed(3)}`)
    expect(recall).toBe(1)
    expect(agreement).toBeGreaterThan(0.9)
    expect(reads).toBeGreaterThan(0.95)
  }) // biome-ignore format: long lines

  test.each(existsSync(data) ? readdirSync(join(data, 'tools')) : [])('%s', (name) => {
    const { server, tools } = read(join(data, 'tools', name)) as Listed
    const lock = makeToolsLock(tools, undefined, { server })
    expect(makeToolsLock(tools, lock, { server })).toEqual(lock)
    for (const tool of tools) {
      const { effect, operations } = classify(tool, { server })
      expect(EFFECTS).toContain(effect)
      // No operation is hidden by its tool.
      for (const one of operations)
        expect(EFFECTS.indexOf(one.effect)).toBeLessThanOrEqual(EFFECTS.indexOf(effect))
      const changed = { ...tool, description: `${tool.name} changed` }
      expect(changeOf([tool], changed).classes).toContain('prose')
      expect(diffDefinitions(tool, changed).total).toBe(1)
    }
  })
})
