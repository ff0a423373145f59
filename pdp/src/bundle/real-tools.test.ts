// Real tool definitions, where they are at hand beside the checkout: every one is typed, Cedar takes the types of all
// of them, and most of their arguments can be read by a policy.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Property, RecordType } from '../authorize/argument-types.ts'
import { loadBundle } from './load.ts'
import type { TestServer, TestTool } from './testing.ts'
import { bundleFiles, withFiles } from './testing.ts'

const FOLDER = join(import.meta.dirname, '../../../../shared/data/tools')

function servers(): Record<string, TestServer> {
  const files = readdirSync(FOLDER).filter((file) => file.endsWith('.json'))
  const read = files.map((file): [string, TestServer] => {
    const { tools } = JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as { tools: TestTool[] }
    return [basename(file, '.json'), { tools }]
  })
  return Object.fromEntries(read)
}

/** Every property, those of records and rows too. */
function all({ properties }: RecordType): Property[] {
  return properties.flatMap((property): Property[] => {
    const { type } = property
    if (type.kind === 'record') return [property, ...all(type)]
    return type.kind === 'rows' ? [property, ...all(type.row)] : [property]
  })
}

describe.skipIf(!existsSync(FOLDER))('real tools', () => {
  test('are all typed, and few of their arguments are opaque', async () => {
    const files = bundleFiles(servers(), {})
    const bundle = await withFiles(tmpdir(), files, (folder) => loadBundle(folder, { env: {} }))
    const tools = [...bundle.servers.values()].flatMap((server) => [...server.tools.values()])
    const variants = tools.flatMap((tool) => [...tool.variants.values()])
    const properties = variants.flatMap(({ type }) => all(type))
    const opaque = properties.filter(({ type }) => type.kind === 'opaque').length
    const open = properties.filter(({ type }) => type.kind === 'map' && type.values === null).length
    expect(bundle.warnings).toEqual([])
    expect(tools.length).toBeGreaterThan(300)
    expect((opaque + open) / properties.length).toBeLessThan(0.05)
  }, 60_000)
})
