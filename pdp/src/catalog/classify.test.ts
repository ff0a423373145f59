// The risk rules, one by one: what each says, why, and what it leaves alone.
import { describe, expect, test } from 'vitest'
import type { Trust } from '../../../schemas/bundle.ts'
import { classify, RULES_VERSION } from './classify.ts'

const TEXT = { type: 'string' }
const FLAG = { type: 'boolean' }
const tool = (name: string, properties: object = {}, more: object = {}) => ({
  name,
  inputSchema: { type: 'object', properties },
  ...more,
})
const choosing = (...values: string[]) => ({ type: 'string', enum: values })

test('the version of the rules', () => {
  expect(RULES_VERSION).toBe(1)
})

describe('the name', () => {
  test.each([
    { name: 'list_issues', effect: 'read', match: 'list' },
    { name: 'deleteFile', effect: 'destructive', match: 'delete' },
    { name: 'create-index', effect: 'write', match: 'create' },
    { name: 'API-patch-page', effect: 'write', match: 'patch' },
    { name: 'HTTPRequestExecute', effect: 'execute', match: 'execute' },
    { name: 'ＤＥＬＥＴＥ_all', effect: 'destructive', match: 'delete' },
    // The first verb decides…
    { name: 'get_or_fetch', effect: 'read', match: 'get' },
    { name: 'list_merge_requests', effect: 'read', match: 'list' },
    // …and one joined to it, and a destructive one anywhere.
    { name: 'get_or_create_user', effect: 'write', match: 'create' },
    { name: 'pages_list_then_delete', effect: 'destructive', match: 'delete' },
    { name: 'get_page_delete', effect: 'destructive', match: 'delete' },
    { name: 'firecrawl_monitor_delete', effect: 'destructive', match: 'delete' },
    // A word that may be a thing counts only where no verb stands.
    { name: 'pull_request_read', effect: 'read', match: 'read' },
    { name: 'create_deploy', effect: 'write', match: 'create' },
    { name: 'git_commit', effect: 'write', match: 'commit' },
    { name: 'site_deploy', effect: 'execute', match: 'deploy' },
  ])('$name: $effect', ({ name, effect, match }) => {
    const found = classify(tool(name))
    expect(found.effect).toBe(effect)
    expect(found.evidence).toContainEqual({ rule: 'name-verb', field: '/name', match })
  })

  test('without what stands before every tool of the server', () => {
    const { effect } = classify(tool('run-kit-list-jobs'), { server: 'run-kit' })
    expect([effect, classify(tool('run-kit-list-jobs')).effect]).toEqual(['read', 'execute'])
    expect(classify(tool('search'), { server: 'search' }).effect).toBe('read')
  })

  test.each([
    { name: 'list_invoices', flags: ['money'] },
    { name: 'create_invoice', flags: ['money'] },
    { name: 'get_api_keys', flags: ['credential'] },
    { name: 'list_messages', flags: [] },
    { name: 'delete_messages', flags: ['comms-out'] },
    { name: 'send_it', flags: ['comms-out'] },
    { name: 'get_user_roles', flags: [] },
    { name: 'update_user_roles', flags: ['identity-admin'] },
    { name: 'delete_all_branches', flags: ['bulk'] },
    { name: 'get_customer', flags: ['pii'] },
    { name: 'crawl_site', flags: ['open-world'] },
  ])('$name: $flags', ({ name, flags }) => {
    expect(classify(tool(name)).flags).toEqual(flags)
  })
})

describe('the description, where the name has no verb', () => {
  test.each([
    { description: 'Deletes a thing.', effect: 'destructive', match: 'delete' },
    { description: 'Queries the index', effect: 'read', match: 'query' },
    { description: 'Tool for removing things', effect: 'destructive', match: 'remove' },
    { description: 'Running programs', effect: 'execute', match: 'run' },
    { description: 'Returns the tree.', effect: 'read', match: 'return' },
  ])('$description: $effect', ({ description, effect, match }) => {
    const found = classify(tool('thing', {}, { description }))
    expect(found).toMatchObject({ effect, confidence: 'medium' })
    expect(found.evidence).toEqual([{ rule: 'description-verb', field: '/description', match }])
  })

  test('not where it has one', () => {
    const found = classify(tool('list_things', {}, { description: 'Deletes a thing.' }))
    expect(found.effect).toBe('read')
  })
})

describe('the arguments', () => {
  test.each([
    { args: { sql: TEXT }, effect: 'execute', flags: ['code-exec'] },
    { args: { command: { type: ['string', 'null'] } }, effect: 'execute', flags: ['code-exec'] },
    { args: { commands: { type: 'array', items: TEXT } }, effect: 'execute', flags: ['code-exec'] },
    { args: { shellCommand: {} }, effect: 'execute', flags: ['code-exec'] },
    { args: { command: choosing('up', 'down') }, effect: 'read', flags: [] },
    { args: { command: { type: 'integer' } }, effect: 'read', flags: [] },
    { args: { query: TEXT }, effect: 'read', flags: [] },
    { args: { recursive: FLAG }, effect: 'read', flags: ['bulk'] },
    { args: { force: FLAG }, effect: 'read', flags: [] },
    { args: { to: TEXT }, effect: 'read', flags: [] },
    { args: { url: TEXT }, effect: 'read', flags: ['open-world'] },
  ])('read_thing($args): $effect $flags', ({ args, effect, flags }) => {
    const found = classify(tool('read_thing', args))
    expect({ effect: found.effect, flags: found.flags }).toEqual({ effect, flags })
  })

  test.each([
    { args: { force: FLAG }, effect: 'destructive', flags: [] },
    { args: { overwrite: FLAG }, effect: 'destructive', flags: [] },
    { args: { force: TEXT }, effect: 'write', flags: [] },
    { args: { to: TEXT }, effect: 'write', flags: ['comms-out'] },
    { args: { webhookUrl: TEXT }, effect: 'write', flags: ['comms-out'] },
    { args: { amount: { type: 'number' } }, effect: 'write', flags: ['money'] },
  ])('update_thing($args): $effect $flags', ({ args, effect, flags }) => {
    const found = classify(tool('update_thing', args))
    expect({ effect: found.effect, flags: found.flags }).toEqual({ effect, flags })
  })

  test('a query is code where the tool speaks of a language', () => {
    const found = classify(tool('query_graph', { query: TEXT }, { description: 'Runs Cypher.' }))
    expect(found).toMatchObject({ effect: 'execute', risk: 'destructive', flags: ['code-exec'] })
    expect(found.evidence.at(-1)).toEqual({
      rule: 'argument',
      field: '/inputSchema/properties/query',
      match: 'query',
    })
  })

  test('those of alternatives too', () => {
    const inputSchema = { type: 'object', oneOf: [{ properties: { sql: TEXT } }] }
    expect(classify({ name: 'read_thing', inputSchema }).effect).toBe('execute')
  })
})

describe('a tool that does several things', () => {
  test('is as bad as the worst, and each is told', () => {
    const found = classify(tool('label_write', { method: choosing('get', 'create', 'delete') }))
    expect(found).toMatchObject({ effect: 'destructive', confidence: 'high' })
    expect(found.operations).toEqual([
      { argument: 'method', value: 'get', effect: 'read' },
      { argument: 'method', value: 'create', effect: 'write' },
      { argument: 'method', value: 'delete', effect: 'destructive' },
    ])
    const field = '/inputSchema/properties/method'
    expect(found.evidence).toContainEqual({ rule: 'operation', field, match: 'delete' })
  })

  test.each([
    { name: 'thing_read', args: { method: choosing('get', 'get_diff') }, effect: 'read' },
    // A value without a verb does what the name says, or nobody knows what.
    { name: 'thing_read', args: { method: choosing('get', 'frobnicate') }, effect: 'read' },
    { name: 'thing', args: { action: choosing('get', 'frobnicate') }, effect: 'unknown' },
    { name: 'thing', args: { operation: { oneOf: [{ const: 'list' }, { const: 'purge' }] } }, effect: 'destructive' },
    { name: 'thing', args: { actions: choosing('purge'), action: { items: choosing('purge') } }, effect: 'destructive' },
    // A mode is an operation where most of its values are verbs.
    { name: 'read_thing', args: { mode: choosing('fast', 'slow', 'clear') }, effect: 'read' },
    { name: 'read_thing', args: { mode: choosing('list', 'clear', 'other') }, effect: 'destructive' },
    { name: 'read_thing', args: { colour: choosing('delete') }, effect: 'read' },
  ])('$name($args): $effect', ({ name, args, effect }) => {
    expect(classify(tool(name, args)).effect).toBe(effect)
  }) // biome-ignore format: a table
})

describe('annotations', () => {
  const RO = { readOnlyHint: true }
  const SAFE = { readOnlyHint: false, destructiveHint: false }
  test.each<{ name: string; annotations: unknown; trust?: Trust; effect: string }>([
    { name: 'get_thing', annotations: { readOnlyHint: false }, effect: 'write' },
    { name: 'get_thing', annotations: { destructiveHint: true }, effect: 'destructive' },
    { name: 'update_thing', annotations: { destructiveHint: true }, effect: 'destructive' },
    { name: 'thing', annotations: { destructiveHint: true }, effect: 'destructive' },
    { name: 'run_thing', annotations: { destructiveHint: true }, effect: 'execute' },
    // Meaningless beside readOnlyHint, says the specification.
    { name: 'get_thing', annotations: { readOnlyHint: true, destructiveHint: true }, effect: 'read' },
    { name: 'update_thing', annotations: RO, effect: 'write' },
    { name: 'update_thing', annotations: RO, trust: 'untrusted', effect: 'write' },
    { name: 'thing', annotations: RO, effect: 'unknown' },
    { name: 'thing', annotations: SAFE, effect: 'unknown' },
    { name: 'update_thing', annotations: RO, trust: 'internal', effect: 'read' },
    { name: 'thing', annotations: RO, trust: 'internal', effect: 'read' },
    { name: 'thing', annotations: SAFE, trust: 'internal', effect: 'write' },
    { name: 'delete_thing', annotations: RO, trust: 'internal', effect: 'destructive' },
    { name: 'delete_thing', annotations: SAFE, trust: 'internal', effect: 'destructive' },
    { name: 'run_thing', annotations: RO, trust: 'internal', effect: 'execute' },
    { name: 'get_thing', annotations: { readOnlyHint: false }, trust: 'internal', effect: 'write' },
    { name: 'get_thing', annotations: {}, effect: 'read' },
    { name: 'get_thing', annotations: null, effect: 'read' },
    { name: 'get_thing', annotations: { readOnlyHint: 'false', destructiveHint: 1 }, effect: 'read' },
  ])('$name $annotations of $trust: $effect', ({ name, annotations, trust, effect }) => {
    const options = trust === undefined ? {} : { trust }
    expect(classify(tool(name, {}, { annotations }), options).effect).toBe(effect)
  }) // biome-ignore format: a table

  test.each(['vendor', 'internal'] as const)(
    'that contradict a verb are a finding (%s)',
    (trust) => {
      const found = classify(tool('delete_thing', {}, { annotations: RO }), { trust })
      expect(found.contradictions).toEqual([
        '`readOnlyHint` is true, but the rules say destructive',
      ])
      expect(found.confidence).toBe('low')
    },
  )

  test('openWorldHint is a flag', () => {
    const open = { annotations: { openWorldHint: true } }
    expect(classify(tool('get_thing', {}, open)).flags).toEqual(['open-world'])
  })
})

test('nothing matched: unknown, as bad as destructive', () => {
  expect(classify(tool('frobnicate'))).toEqual({
    effect: 'unknown',
    risk: 'destructive',
    flags: ['open-world'],
    confidence: 'low',
    evidence: [{ rule: 'nothing-matched', field: '', match: '' }],
    operations: [],
    contradictions: [],
  })
})
