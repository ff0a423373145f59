// What was seen of tools, on both databases: noted, kept whole, listed, and said when it is held.
import { hash } from 'node:crypto'
import canonicalize from 'canonicalize'
import { beforeEach, expect, test } from 'vitest'
import { seenDefinition, toolRow } from '../../../schemas/admin-api.ts'
import type { ToolDefinition } from '../../../schemas/bundle.ts'
import {
  DEFINITION_BYTES_MAX,
  DEFINITIONS_MAX,
  SIGHTINGS_PER_SERVER_MAX,
} from '../../../schemas/limits.ts'
import { onEachDatabase } from '../../../test/harness/each-database.ts'
import { testClock } from '../../../test/harness/ledger.ts'
import { openCatalog } from './catalog.ts'
import { HELD_LINES_MAX } from './held.ts'
import type { ReviewedBundle } from './reviewed.ts'

const sha256 = (text: string): string => hash('sha256', text)
const MINUTE_MS = 60_000

const tool = (name: string, description = name): ToolDefinition => {
  return { name, description, inputSchema: { type: 'object' } }
}
const seen = (definition: ToolDefinition) => {
  const content = canonicalize(definition) ?? ''
  return { name: definition.name, sha256: sha256(content), content }
}
const named = (definitions: readonly ToolDefinition[]) => {
  return definitions.map(seen).map(({ name, sha256: digest }) => ({ name, sha256: digest }))
}

function bundleOf(...definitions: ToolDefinition[]): ReviewedBundle {
  const tools = definitions.map((definition) => {
    return { risk: 'read' as const, sha256: seen(definition).sha256, definition }
  })
  const byName = Map.groupBy(tools, ({ definition }) => definition.name)
  const variants = [...byName].map(([name, all]) => {
    return [name, { variants: new Map(all.map((one) => [one.sha256, one])) }] as const
  })
  const server = { lock: { version: 1 as const, tools }, tools: new Map(variants) }
  return { id: 'b'.repeat(64), servers: new Map([['one', server], ['two', server]]) } // biome-ignore format: a table
}

const most = (round: number) => {
  return Array.from({ length: DEFINITIONS_MAX }, (_, at) => {
    return { name: `t${at}`, sha256: sha256(`${round} ${at}`) }
  })
}

onEachDatabase((database) => {
  beforeEach(async () => {
    await database().store.sql.query('delete from sighting')
    await database().store.sql.query('delete from look')
    await database().store.sql.query('delete from definition')
  })

  const open = (...reviewed: ToolDefinition[]) => {
    const clock = testClock()
    const lines: unknown[] = []
    const fresh: string[] = []
    const keepLine = (fields: object, message: string): void => {
      lines.push({ ...fields, message })
    }
    const state = { bundle: bundleOf(...reviewed) }
    const { sql } = database().store
    const catalog = openCatalog({
      sql,
      clock,
      bundle: () => state.bundle,
      log: { warn: keepLine, info: keepLine },
      onFresh: (kind) => fresh.push(kind),
    })
    const look = (...definitions: ToolDefinition[]) => {
      return catalog.sightTools({ server: 'one', look: true, tools: named(definitions) })
    }
    return { catalog, clock, lines, fresh, state, look, sql }
  }

  test('a look says how each tool stands, and wants what it has not', async () => {
    const { catalog, look, fresh } = open(tool('a'), tool('b'))
    const told = await look(tool('a'), tool('b', 'other'), tool('c'))
    expect(told).toEqual([
      { name: 'a', state: 'reviewed', wanted: true },
      { name: 'b', state: 'changed', wanted: true },
      { name: 'c', state: 'unknown', wanted: true },
    ])
    expect(fresh.toSorted()).toEqual(['changed', 'reviewed', 'unknown'])
    const { sha256: digest, content } = seen(tool('b', 'other'))
    await catalog.keepDefinitions({ server: 'one', contents: [{ sha256: digest, content }] })
    const again = await look(tool('a'), tool('b', 'other'), tool('c'))
    expect(again.map(({ wanted }) => wanted)).toEqual([true, false, true])
    expect(fresh).toHaveLength(3)
    const shown = seenDefinition.parse(await catalog.showDefinition(digest))
    expect(shown).toMatchObject({
      definition: tool('b', 'other'),
      sightings: [{ server: 'one', tool: 'b' }],
    })
  })

  test('first sight stays, the last is written once a minute', async () => {
    const { clock, look, sql, catalog } = open()
    const start = clock.now()
    for (let at = 0; at < 3; at++) {
      await look(tool('a'))
      clock.advance(25_000)
    }
    const read = async () => {
      const [row] = await sql.query('select first_seen, last_seen from sighting')
      return [row?.['first_seen'], row?.['last_seen']].map((at) => (at as Date).getTime() - start)
    }
    expect(await read()).toEqual([0, 0])
    await look(tool('a'))
    expect(await read()).toEqual([0, 75_000])
    const [row] = await catalog.listTools({})
    expect(toolRow.parse(row).lastSeen).toBe(new Date(start + 75_000).toISOString())
  })

  test.each([
    { name: 'another text', content: '{}' },
    { name: 'no JSON', content: 'x', sha256: sha256('x') },
    { name: 'too many bytes', content: `"${'é'.repeat(DEFINITION_BYTES_MAX - 2)}"` },
  ])('content that is $name is refused, and nothing of it kept', async ({ content, ...rest }) => {
    const { catalog, look, sql } = open()
    const digest = 'sha256' in rest ? rest.sha256 : seen(tool('a')).sha256
    await look(tool('a'), tool('b'))
    const bad = { sha256: digest, content }
    const good = seen(tool('b'))
    expect(await catalog.keepDefinitions({ server: 'one', contents: [good, bad] })).toBe(digest)
    expect(await sql.query('select * from definition')).toEqual([])
  })

  test('what was never noted on that server is not kept', async () => {
    const { catalog, look, sql } = open()
    await look(tool('a'))
    await catalog.keepDefinitions({ server: 'one', contents: [seen(tool('b'))] })
    await catalog.keepDefinitions({ server: 'two', contents: [seen(tool('a'))] })
    expect(await sql.query('select * from definition')).toEqual([])
  })

  test('of a definition that is too long, the fingerprint is kept until somebody has it', async () => {
    const { catalog, look } = open()
    const { sha256: digest, content } = seen(tool('a'))
    await look(tool('a'))
    await catalog.keepDefinitions({ server: 'one', contents: [{ sha256: digest, content: null }] })
    expect(await look(tool('a'))).toMatchObject([{ wanted: false }])
    expect(await catalog.showDefinition(digest)).toMatchObject({ definition: null })
    await catalog.keepDefinitions({ server: 'one', contents: [{ sha256: digest, content }] })
    expect(await catalog.showDefinition(digest)).toMatchObject({ definition: tool('a') })
    expect(await catalog.showDefinition('0'.repeat(64))).toBeUndefined()
  })

  test('held is what the last look saw: not what was before, nor what a caller saw', async () => {
    const { catalog, look, state } = open(tool('a'), tool('b'))
    await look(tool('a', 'changed'), tool('b'), tool('new'))
    const held = async () => (await catalog.listTools({ held: true })).map((row) => row.tool)
    expect(await held()).toEqual(['a', 'new'])
    expect(await catalog.heldCounts()).toEqual(new Map([['one', 2], ['two', 0]])) // biome-ignore format: a table
    expect((await catalog.listTools({ held: false })).map((row) => row.tool)).toEqual(['b'])
    expect(await catalog.listTools({ server: 'two' })).toEqual([])
    await look(tool('a'), tool('b'))
    expect(await held()).toEqual([])
    const callers = named([tool('a', 'for one caller')])
    await catalog.sightTools({ server: 'one', look: false, tools: callers })
    expect(await held()).toEqual([])
    state.bundle = bundleOf(tool('b'))
    expect(await held()).toEqual(['a'])
    const [row] = await catalog.listTools({ held: true })
    expect(row).toMatchObject({ state: 'unknown', reviewed: [] })
  })

  test('one line when a tool becomes held, one when it is no more', async () => {
    const { look, lines, state, clock } = open(tool('a'), tool('b'))
    await look(tool('a'), tool('b'))
    expect(lines).toEqual([])
    for (const description of ['x', 'x', 'y']) {
      await look(tool('a', description), tool('b'))
      clock.advance(MINUTE_MS)
    }
    expect(lines).toEqual([expect.objectContaining({ server: 'one', tool: 'a', state: 'changed' })])
    state.bundle = bundleOf(tool('a'), tool('a', 'y'), tool('b'))
    await look(tool('a', 'y'), tool('b'))
    await look(tool('a', 'y'), tool('b'))
    expect(lines.slice(1)).toEqual([
      { server: 'one', tool: 'a', message: 'a tool is no longer held' },
    ])
  })

  test('a server that changes everything does not fill the log', async () => {
    const { look, lines } = open()
    await look(...Array.from({ length: 100 }, (_, at) => tool(`t${at}`)))
    expect(lines).toHaveLength(HELD_LINES_MAX + 1)
    expect(lines.at(-1)).toMatchObject({ held: 100 - HELD_LINES_MAX })
  })

  test('a server that shows ever more is kept up to a limit', async () => {
    const { catalog, lines, sql } = open()
    for (let round = 0; round * DEFINITIONS_MAX <= SIGHTINGS_PER_SERVER_MAX; round++) {
      await catalog.sightTools({ server: 'one', look: true, tools: most(round) })
    }
    const [row] = await sql.query('select count(*)::int as n from sighting')
    expect(row).toEqual({ n: SIGHTINGS_PER_SERVER_MAX })
    expect(lines.at(-1)).toMatchObject({ server: 'one', lost: DEFINITIONS_MAX })
    const held = await catalog.listTools({ held: true })
    expect(held).toHaveLength(DEFINITIONS_MAX)
    const told = await catalog.sightTools({ server: 'one', look: true, tools: most(9).slice(0, 1) })
    expect(told).toMatchObject([{ state: 'unknown', wanted: false }])
  })

  test('reviewed definitions stand in the order of the lock', () => {
    const { catalog } = open(tool('b'), tool('a'), tool('b', 'second'))
    const { tools = [] } = catalog.reviewedDefinitions('one') ?? {}
    const all = tools.map(({ name, variants }) => [name, variants.map((one) => one.definition)])
    expect(all).toEqual([
      ['b', [tool('b'), tool('b', 'second')]],
      ['a', [tool('a')]],
    ])
    expect(catalog.reviewedDefinitions('none')).toBeUndefined()
  })
})
