// The record of a running gateway, read through the command line: every message is one decision, in order, with what
// became of it; and whoever changes the record afterwards is found.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { loadKeys } from '../../pdp/src/keys/keys.ts'
import { fsck } from '../../pdp/src/ledger/fsck.ts'
import type { Store } from '../../pdp/src/store/open.ts'
import { createdGrant, type FsckLine, fsckLine } from '../../schemas/admin-api.ts'
import { type DecisionRow, decisionRow } from '../../schemas/decisions-api.ts'
import { type Called, connectClient, type TestClient } from '../harness/client.ts'
import { type Ended, endCommand, sleep, startCommand } from '../harness/command.ts'
import { type Dev, startDev } from '../harness/dev.ts'
import { jsonHere, runHere } from '../harness/in-process.ts'
import { createTestDatabase } from '../harness/store.ts'
import {
  changeCiphertext,
  changeColumn,
  deleteRow,
  deleteThoroughly,
  forgeSignature,
  openOwned,
  plantOwnKey,
} from './tamper.ts'

let home: string
let databaseUrl: string | undefined
let dev: Dev
const start = async (): Promise<Dev> =>
  startDev({ home, ...(databaseUrl === undefined ? {} : { databaseUrl }) })
const run = (...words: string[]): Promise<Ended> => runHere(words, { CEDARGATE_HOME: home })
const ls = async (...words: string[]): Promise<DecisionRow[]> =>
  z
    .array(decisionRow)
    .parse(await jsonHere(['decisions', 'ls', ...words], { CEDARGATE_HOME: home }))

/** A client of carol, who is an engineer, through `agent`. */
async function connect(agent: string): Promise<TestClient> {
  const words = ['--user', 'carol', '--agent', agent, '--server', 'files', '--team', 'engineering']
  const grant = await jsonHere(['grants', 'create', ...words], { CEDARGATE_HOME: home })
  const { token } = createdGrant.parse(grant)
  return connectClient('sdk-1.32', { pepUrl: dev.facts.pepUrl, server: 'files', token })
}

let refused: Called
let rows: DecisionRow[]
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'cedargate-records-'))
  databaseUrl = await createTestDatabase()
  dev = await start()
  const client = await connect('recorder')
  await client.listTools()
  await client.call('read_text_file', { path: 'notes.txt' })
  await client.call('read_text_file', { path: 'nowhere.txt' })
  refused = await client.call('write_file', { path: 'drafts/../notes.txt', content: 'ä\u202e' })
  await client.close()
  await vi.waitFor(async () => {
    rows = (await ls('--agent', 'recorder')).toReversed()
    const open = rows.filter(({ verdict, outcome }) => verdict === 'allow' && outcome === null)
    if (rows.length < 7 || open.length > 0) throw new Error('outcomes are missing')
  }, 10_000)
})
afterAll(async () => {
  await dev.stop()
  await rm(home, { recursive: true, force: true })
})

describe('every message of a client', () => {
  test('is one decision, in the order they came', () => {
    const methods = rows.map(({ method }) => method)
    expect(methods.filter((method) => method !== 'http:get')).toEqual([
      'initialize',
      'notifications/initialized',
      'tools/list',
      'tools/call',
      'tools/call',
      'tools/call',
    ])
    expect(methods.filter((method) => method === 'http:get').length).toBe(1)
    expect(rows.map(({ id }) => id)).toEqual(rows.map(({ id }) => id).toSorted())
  })

  test('has exactly the promised fields', () => {
    const fields = ['id', 'at', 'user', 'agent', 'server', 'method', 'tool', 'arguments', 'argumentsLength', 'argumentsShown', 'verdict', 'code', 'policies', 'errors', 'shadow', 'bundle', 'mode', 'credential', 'outcome']
    for (const row of rows) expect(Object.keys(row)).toEqual(fields)
  }) // biome-ignore format: a list

  test('says who asked for what, and how it ended', () => {
    const [read, missing, write] = rows.filter(({ method }) => method === 'tools/call')
    expect(read).toEqual({
      id: expect.any(String),
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      user: 'carol',
      agent: 'recorder',
      server: 'files',
      method: 'tools/call',
      tool: 'read_text_file',
      arguments: { path: 'notes.txt' },
      argumentsLength: 20,
      argumentsShown: true,
      verdict: 'allow',
      code: 'permit',
      policies: ['engineering/read'],
      errors: [],
      shadow: null,
      bundle: expect.stringMatching(/^[0-9a-f]{64}$/),
      mode: 'enforced',
      credential: null,
      outcome: {
        result: 'forwarded',
        status: 200,
        upstreamMs: expect.any(Number),
        isError: false,
        bytes: expect.any(Number),
        echoed: false,
      },
    })
    expect(read?.outcome?.bytes).toBeGreaterThan(20)
    expect(missing).toMatchObject({
      verdict: 'allow',
      outcome: { result: 'forwarded', isError: true },
    })
    expect(write).toMatchObject({
      verdict: 'deny',
      code: 'forbid',
      policies: ['files/writes-below-drafts'],
    })
  })

  test('that was refused has no outcome: nothing was sent, so nothing ended', () => {
    const denied = rows.filter(({ verdict }) => verdict === 'deny')
    expect(denied.map(({ outcome }) => outcome)).toEqual([null])
  })

  test('names one bundle, and nothing but lists and calls names a tool or arguments', () => {
    expect(new Set(rows.map(({ bundle }) => bundle)).size).toBe(1)
    for (const row of rows.filter(({ method }) => method !== 'tools/call'))
      expect(row).toMatchObject({
        tool: null,
        arguments: null,
        verdict: 'allow',
        policies: ['engineering/connect'],
      })
  })
})

describe('decisions show', () => {
  test('finds what a refusal names to its client', async () => {
    const id = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}/.exec(refused.text)?.[0] ?? ''
    expect(id).toBe(refused.refusal?.decisionId)
    const shown = decisionRow.parse(
      await jsonHere(['decisions', 'show', id], { CEDARGATE_HOME: home }),
    )
    expect(shown).toEqual(rows.find((row) => row.id === id))
    expect(shown.arguments).toEqual({ path: 'drafts/../notes.txt', content: 'ä\u202e' })
  })

  test('shows a person what could deceive their terminal in visible form', async () => {
    const { code, stdout } = await run('decisions', 'show', refused.refusal?.decisionId ?? '')
    expect(code).toBe(0)
    expect(stdout).toContain('"content":"ä\\u{202e}"')
    for (const field of ['id', 'at', 'user', 'policies', 'outcome'])
      expect(stdout).toMatch(new RegExp(`^${field} +\\S`, 'm'))
  })

  test.each(['00000000-0000-7000-8000-000000000000', 'nonsense', '../grants'])('%s: there is none', async (id) => {
    const ended = await run('decisions', 'show', id)
    expect(ended).toEqual({ code: 2, stdout: '', stderr: 'cedargate: there is no such decision; see `cedargate decisions ls`\n' })
  }) // biome-ignore format: long lines
})

describe('decisions ls', () => {
  test.each<{ words: string[]; matches: (row: DecisionRow) => boolean }>([
    { words: ['--user', 'carol'], matches: ({ user }) => user === 'carol' },
    { words: ['--agent', 'cedargate'], matches: ({ agent, user }) => agent === 'cedargate' && user === null },
    { words: ['--server', 'everything'], matches: ({ server }) => server === 'everything' },
    { words: ['--tool', 'write_file'], matches: ({ tool }) => tool === 'write_file' },
    { words: ['--verdict', 'deny'], matches: ({ verdict }) => verdict === 'deny' },
    { words: ['--code', 'no_permit'], matches: ({ code }) => code === 'no_permit' },
    { words: ['--user', 'alice', '--verdict', 'deny', '--server', 'files'], matches: ({ user, verdict, server }) => user === 'alice' && verdict === 'deny' && server === 'files' },
  ])('$words: exactly those', async ({ words, matches }) => {
    const all = await ls('--limit', '1000')
    const expected = all.filter(matches)
    expect(expected.length).toBeGreaterThan(0)
    expect(await ls('--limit', '1000', ...words)).toEqual(expected)
  }) // biome-ignore format: a table

  test('page by page, newest first, gives each once', async () => {
    const paged: DecisionRow[] = []
    for (
      let before: string[] = [], page: DecisionRow[];
      ;
      before = ['--before', page.at(-1)?.id ?? '']
    ) {
      page = await ls('--agent', 'recorder', '--limit', '3', ...before)
      paged.push(...page)
      if (page.length < 3) break
    }
    expect(paged.map(({ id }) => id)).toEqual(rows.map(({ id }) => id).toReversed())
  })

  test('nothing matches: `[]` for programs, a word for people', async () => {
    expect(await ls('--user', 'nobody')).toEqual([])
    expect(await run('decisions', 'ls', '--user', 'nobody')).toEqual({
      code: 0,
      stdout: '',
      stderr: 'no decisions match\n',
    })
  })

  test.each([
    { words: ['--verdict', 'maybe'], says: /allow.*deny.*verdict/ },
    { words: ['--code', 'denied'], says: /no_permit.*code/ },
    { words: ['--before', 'yesterday'], says: /UUID.*before/ },
    { words: ['--limit', '0'], says: /from 1 to 1000/ },
    { words: ['--limit', '1001'], says: /from 1 to 1000/ },
    { words: ['--limit', 'all'], says: /from 1 to 1000/ },
  ])('$words is refused with what it takes', async ({ words, says }) => {
    const { code, stdout, stderr } = await run('decisions', 'ls', ...words)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(says)
  })
})

const TWO_PASSES_MS = 1_200

test('decisions tail: each new decision, once', async () => {
  const words = ['decisions', 'tail', '--format', 'json', '--agent', 'tailed']
  const tail = startCommand(words, { CEDARGATE_HOME: home })
  const lines = (): string[] => tail.stdout().split('\n').slice(0, -1)
  const client = await connect('tailed')
  try {
    // It says nothing until there is something: call until it is seen to listen.
    await vi.waitFor(
      async () => {
        await client.call('list_directory', { path: '.' })
        expect(lines().length).toBeGreaterThan(0)
      },
      { timeout: 20_000, interval: 250 },
    )
    const before = await ls('--agent', 'tailed')
    const calls = [1, 2, 3, 4, 5].map((head) =>
      client.call('read_text_file', { path: 'notes.txt', head }),
    )
    await Promise.all(calls)
    const made = (await ls('--agent', 'tailed')).slice(0, -before.length).map(({ id }) => id)
    expect(made.length).toBe(5)
    const shown = (): string[] => lines().map((line) => decisionRow.parse(JSON.parse(line)).id)
    await vi.waitFor(() => expect(shown()).toEqual(expect.arrayContaining(made)), 10_000)
    await sleep(TWO_PASSES_MS)
    expect(new Set(shown()).size).toBe(shown().length)
  } finally {
    await client.close()
    await endCommand(tail, 'SIGINT')
  }
  expect(tail.stderr()).toBe('')
})

const fsckLines = async (): Promise<{ ended: Ended; lines: FsckLine[] }> => {
  const ended = await run('ledger', 'fsck', '--format', 'json')
  const lines = ended.stdout.trimEnd().split('\n')
  return { ended, lines: lines.map((line) => fsckLine.parse(JSON.parse(line))) }
}

test('an untouched record passes fsck', async () => {
  const { ended, lines } = await fsckLines()
  expect(lines.filter(({ kind }) => kind === 'finding')).toEqual([])
  expect(lines.at(-1)).toMatchObject({ kind: 'summary', findings: 0 })
  expect(ended.code).toBe(0)
})

const victim = (index: number): string => rows[index]?.id ?? ''

/** Numbers that a check finds missing once the time is over in which a leaf may still come. */
async function missingIn(store: Store, ms: number): Promise<number[]> {
  const { deployment, vault } = await loadKeys(join(home, 'keys'))
  const ports = { store, vault, deploymentPublicKey: deployment.publicKey, now: Date.now() + ms }
  const missing: number[] = []
  for await (const line of fsck(ports)) {
    const said = line.kind === 'finding' && line.check === 'chain' ? line.message : ''
    const [, first, last = first] =
      /^lea(?:f|ves) (\d+)(?: to (\d+))? (?:is|are) missing/.exec(said) ?? []
    for (let number = Number(first); number <= Number(last); number++) missing.push(number)
  }
  return missing
}

describe('whoever changes the record is found by fsck, exit 6', () => {
  let ended: Ended
  let found: readonly string[]
  let hole: { readonly number: number; readonly missing: readonly number[] }
  let planted: Awaited<ReturnType<typeof plantOwnKey>>

  beforeAll(async () => {
    await dev.stop()
    const store = await openOwned(home, databaseUrl)
    const { sql } = store
    await changeColumn(sql, refused.refusal?.decisionId ?? '')
    await forgeSignature(sql, victim(0))
    await changeCiphertext(sql, victim(1))
    await deleteRow(sql, victim(2))
    planted = await plantOwnKey(store, rows[4] as DecisionRow)
    hole = {
      number: await deleteThoroughly(sql, victim(3)),
      missing: await missingIn(store, 60_000),
    }
    await store.close()
    dev = await start()
    const checked = await fsckLines()
    ended = checked.ended
    found = checked.lines.flatMap((line) =>
      line.kind === 'finding' ? `${line.id} ${line.check}` : [],
    )
  })

  test('by its exit code and its last line', async () => {
    expect(ended.code).toBe(6)
    expect(ended.stderr).toMatch(/^cedargate: \d+ findings in \d+ leaves\n$/)
    const forPeople = await run('ledger', 'fsck')
    expect(forPeople.code).toBe(6)
    expect(forPeople.stdout).toContain(`signature  ${victim(0)}  `)
  })

  test.each([
    { name: 'a changed column', finding: () => `${refused.refusal?.decisionId} column` },
    { name: 'a forged signature', finding: () => `${victim(0)} signature` },
    { name: 'a changed ciphertext', finding: () => `${victim(1)} detail` },
    { name: 'a deleted row', finding: () => `${victim(2)} pending` },
    { name: 'an instance key that a PEP announced', finding: () => `${planted.open} instance_key` },
    { name: 'a decision signed with that key', finding: () => `${planted.decision} instance_key` },
    {
      name: 'one slipped into the epoch of a real PDP',
      finding: () => `${planted.joined} signature`,
    },
  ])('$name', ({ finding }) => {
    expect(found).toContain(finding())
  })

  test('a decision deleted with all that names it leaves a hole in the numbers', () => {
    expect(hole.missing).toContain(hole.number)
  })

  test('what nobody touched is not named', () => {
    expect(found.filter((line) => line.startsWith(victim(5)))).toEqual([])
  })
})
