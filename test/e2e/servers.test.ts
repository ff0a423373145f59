// Real servers behind the gateway, over stdio and Streamable HTTP: files, memory, thinking, everything, git.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EVERY_CAPABILITY } from '../../schemas/mcp.ts'
import { git, type RealServers, startRealServers } from './real-servers.ts'
import { everythingRow, listsOf, type ServerRow, testServer } from './server-parity.ts'

const fileAt = (path: string) => (folder: string) => readFile(join(folder, path), 'utf8')
const commitsOf = (folder: string, name: string): string =>
  git(join(folder, 'git', name), 'log', '--format=%s')
const THOUGHT = { thought: 'first this', nextThoughtNeeded: true, thoughtNumber: 1 }
const ANN = { name: 'ann', entityType: 'person', observations: ['likes tea'] }

const ROWS: readonly ServerRow[] = [
  {
    server: 'files',
    reads: [
      { tool: 'read_text_file', args: { path: 'notes.txt' } },
      { tool: 'read_text_file', args: { path: 'nowhere.txt' } },
    ],
    writes: [{ tool: 'write_file', args: { path: 'drafts/new.txt', content: 'ä\n' } }],
    done: { look: fileAt('files/drafts/new.txt'), found: 'ä\n' },
    denied: [
      { tool: 'move_file', args: { source: 'notes.txt', destination: 'n' }, code: 'no_permit', policies: [] },
      { tool: 'write_file', args: { path: 'drafts/../notes.txt', content: 'x' }, code: 'forbid', policies: ['files/write-drafts'] },
    ],
    untouched: fileAt('files/notes.txt'),
  },
  {
    server: 'memory',
    writes: [{ tool: 'create_entities', args: { entities: [ANN] } }],
    done: { look: fileAt('memory.jsonl'), found: JSON.stringify({ type: 'entity', ...ANN }) },
    reads: [
      { tool: 'read_graph', args: {} },
      { tool: 'open_nodes', args: { names: ['ann'] } },
    ],
    denied: [
      { tool: 'delete_entities', args: { entityNames: ['ann'] }, code: 'no_permit', policies: [] },
      { tool: 'open_nodes', args: { names: ['ann', 'payroll'] }, code: 'forbid', policies: ['memory/no-payroll'] },
    ],
    untouched: fileAt('memory.jsonl'),
    items: {
      open: [{ method: 'resources/read', params: { uri: 'memory://knowledge-graph' } }],
      shut: [],
    },
  },
  {
    server: 'thinking',
    reads: [{ tool: 'sequentialthinking', args: { ...THOUGHT, totalThoughts: 10 } }],
    denied: [
      { tool: 'forget', args: {}, code: 'unknown_tool', policies: [] },
      { tool: 'sequentialthinking', args: { ...THOUGHT, totalThoughts: 11 }, code: 'forbid', policies: ['thinking/ten-thoughts'] },
    ],
  },
  everythingRow('everything'),
  everythingRow('everything-stdio'),
  {
    server: 'git',
    reads: [
      { tool: 'git_status', args: { path: 'REPOSITORY/own' } },
      { tool: 'git_log', args: { path: 'REPOSITORY/own', maxCount: 5 } },
    ],
    writes: [{ tool: 'git_commit', args: { path: 'REPOSITORY/own', message: 'second' } }],
    done: { look: (folder) => commitsOf(folder, 'own'), found: 'second\nfirst' },
    denied: [
      { tool: 'git_push', args: { path: 'REPOSITORY/own', remote: 'origin', branch: 'main' }, code: 'no_permit', policies: [] },
      { tool: 'git_commit', args: { path: 'REPOSITORY/other', message: 'second' }, code: 'forbid', policies: ['git/own-repository'] },
    ],
    untouched: (folder) => [git(join(folder, 'remote.git'), 'for-each-ref'), commitsOf(folder, 'other')],
    items: { open: [], shut: [{ method: 'resources/read', params: { uri: 'git://working-directory' } }] },
  },
] // biome-ignore format: a table

let real: RealServers
beforeAll(async () => {
  real = await startRealServers(ROWS.map(({ server }) => server))
})
afterAll(() => real.stop())

describe.each(ROWS)('$server', (row) => {
  testServer(row, () => real)
})

test('what a server lists only to a client that can do more is listed through the gateway too', async () => {
  const server = 'everything'
  const [plain, able, olga] = await Promise.all([
    real.direct(server),
    real.direct(server, EVERY_CAPABILITY),
    real.through(server, 'olga', EVERY_CAPABILITY),
  ])
  const lists = await listsOf(able)
  expect(lists).not.toEqual(await listsOf(plain))
  expect(await listsOf(olga)).toEqual(lists)
  await olga.close()
}) // biome-ignore format: long lines
