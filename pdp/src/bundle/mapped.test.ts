// Generated JSON Schemas and generated arguments, put to real Cedar: what is mapped fits the generated schema, or the
// call is refused with its own code before Cedar is asked. Nothing throws, and nothing that was presented vanishes.

import { tmpdir } from 'node:os'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { NO_CEILINGS } from '../../../schemas/scopes.ts'
import type { Json, JsonObject } from '../../../schemas/strict-json.ts'
import type { ArgumentType, RecordType } from '../authorize/argument-types.ts'
import { createAuthorizer } from '../authorize/authorizer.ts'
import { datetimeText, ipv6Text } from '../authorize/formats.ts'
import type { Authorization, AuthorizationRequest } from '../authorize/types.ts'
import type { Engine } from '../engine/engine.ts'
import { startEngine } from '../engine/engine.ts'
import type { Bundle } from './bundle.ts'
import { loadBundle } from './load.ts'
import type { TestTool } from './testing.ts'
import { bundleFiles, withFiles } from './testing.ts'

const SEED = 20_261_123
const TOOLS = 75
const CALLS_EACH = 20

const names = fc.constantFrom('a', 'b', 'c', 'a_b', 'a_keys', 'user-agent', '$filter', 'in', 'if', 'has', '__proto__', '', 'constructor', 'ключ', 'x/y~', 'a b', '"', 'e\u0000', '\u200b') // biome-ignore format: a list
const refs = fc.constantFrom('#/$defs/a', '#/$defs/b', '#/$defs/c', '#/$defs/%61', '#/definitions/a', '#/properties/a', '#', '#/$defs/none', '#a', 'https://example.com/s.json') // biome-ignore format: a list
const object = (of: fc.Arbitrary<unknown>) =>
  fc.array(fc.tuple(names, of), { maxLength: 4 }).map((entries) => Object.fromEntries(entries))
const scalars: fc.Arbitrary<object> = fc.oneof(
  fc.constantFrom('string', 'integer', 'number', 'boolean', 'null').map((type) => ({ type })),
  fc.constantFrom('date-time', 'ipv4', 'ipv6', 'email', 'date').map((format) => ({ type: 'string', format })),
  fc.subarray(['string', 'integer', 'number', 'boolean', 'null', 'object', 'array']).map((type) => ({ type })),
  fc.constantFrom({ enum: ['x', 'y'] }, { enum: [1, null] }, { const: true }, { enum: [] }, { const: null }),
) // biome-ignore format: a grammar
const schema: fc.Arbitrary<unknown> = fc.letrec<{ any: unknown; objects: object }>((tie) => ({
  objects: fc.record({
    type: fc.constant('object'),
    properties: object(tie('any')),
    required: fc.array(names, { maxLength: 4 }),
    additionalProperties: fc.oneof(fc.boolean(), tie('any')),
    patternProperties: object(tie('any')),
  }, { requiredKeys: ['type'] }),
  any: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalars,
    scalars,
    refs.map(($ref) => ({ $ref })),
    tie('objects'),
    tie('any').map((items) => ({ type: 'array', items })),
    tie('objects').map((items) => ({ type: 'array', items })),
    tie('any').map((item) => ({ type: 'array', prefixItems: [item] })),
    fc.tuple(fc.constantFrom('anyOf', 'oneOf', 'allOf'), fc.array(tie('any'), { maxLength: 3 })).map(([key, of]) => ({ [key]: of })),
    tie('any').map((of) => ({ anyOf: [of, { type: 'null' }], default: null })),
    scalars.map((of) => ({ anyOf: [of, { type: 'null' }] })),
    fc.jsonValue({ maxDepth: 2 }),
  ),
})).any // biome-ignore format: a grammar
const toolSchema = fc.record(
  {
    properties: fc.array(fc.tuple(names, schema), { minLength: 1, maxLength: 8 }).map(Object.fromEntries),
    required: fc.array(names, { maxLength: 4 }),
    $defs: fc.record({ a: schema, b: schema, c: schema }),
    definitions: fc.record({ a: schema }),
  },
  { requiredKeys: ['properties'] },
) // biome-ignore format: a grammar

/** Tools with names that no identifier has; every third in two variants. */
function tools(): TestTool[] {
  const schemas = fc.sample(toolSchema, { numRuns: TOOLS + TOOLS / 3, seed: SEED })
  return schemas.map((of, index) => {
    const inputSchema = JSON.parse(JSON.stringify(of)) as object
    return { name: `t-${index % TOOLS}/._ "é`, inputSchema }
  })
}

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 8 }),
  fc.webUrl(),
  fc.emailAddress(),
  fc.constantFrom('a/../b', 'x@example.com', 'https://example.com/', '\ud800'),
)
const junk = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>,
  fc.constantFrom<Json>(2 ** 53, 0.123_45, '\ud800', 1e300, null, [], {}, [null]),
)

/** Arguments that mostly fit. */
function fitting(type: ArgumentType): fc.Arbitrary<Json> {
  switch (type.kind) {
    case 'scalar':
      return scalar(type.scalar)
    case 'set':
      return fc.array(scalar(type.element), { maxLength: 3 })
    case 'record':
      return members(type)
    case 'rows':
      return fc.array(members(type.row), { maxLength: 3 })
    case 'map':
      return fc.dictionary(text, type.values === null ? junk : scalar(type.values), { maxKeys: 3 })
    default:
      return junk
  }
}
const DATES = {
  noInvalidDate: true,
  min: new Date(-70_000_000_000_000),
  max: new Date(260_000_000_000_000),
}
const offset = fc.constantFrom('Z', 'z', '+02:00', '-23:59', '00Z', '+02', '')
function scalar(of: string): fc.Arbitrary<Json> {
  if (of === 'datetime')
    return fc
      .tuple(fc.date(DATES), offset)
      .map(([date, zone]) => date.toISOString().replace('Z', zone))
  if (of === 'ipv4') return fc.ipV4()
  if (of === 'ipv6') return fc.ipV6()
  if (of === 'Long') return fc.maxSafeInteger()
  if (of === 'decimal') return fc.integer().map((units) => units / 100)
  return of === 'Boolean' ? fc.boolean() : text
}
function members({ properties }: RecordType): fc.Arbitrary<JsonObject> {
  const entries = properties.map(({ name, required, nullable, type }) => {
    const odd = { arbitrary: junk, weight: 1 }
    const none = { arbitrary: fc.constant(null), weight: nullable ? 20 : 1 }
    const value = fc.oneof({ arbitrary: fitting(type), weight: 40 }, odd, none)
    const present = fc.boolean().map((chosen) => chosen || required)
    return fc.tuple(present, value).map(([there, of]) => (there ? [[name, of] as const] : []))
  })
  const more = fc.oneof(
    { arbitrary: fc.constant([]), weight: 12 },
    { arbitrary: fc.tuple(text, junk).map((entry) => [entry]), weight: 1 },
  )
  return fc.tuple(...entries, more).map((of) => Object.fromEntries(of.flat()))
}

type Asked = { readonly given: JsonObject; readonly answer: Authorization }
let engine: Engine
let bundle: Bundle
const asked: Asked[] = []

async function askAll(): Promise<void> {
  const { authorize } = createAuthorizer({ bundle, engine })
  for (const [server, { tools: of }] of bundle.servers) {
    for (const [index, tool] of [...of.values()].entries()) {
      for (const [definition, { type }] of tool.variants) {
        const mixed = fc.oneof({ arbitrary: members(type), weight: 8 }, { arbitrary: fc.dictionary(names, junk), weight: 1 })
        const all = fc.sample(mixed, { numRuns: CALLS_EACH, seed: SEED + index }) as JsonObject[]
        const answers = await authorize(all.map((given) => ({ ...REQUEST, server, definition, params: { name: tool.name, arguments: given } })))
        asked.push(...all.map((given, at) => ({ given, answer: answers[at] as Authorization })))
      }
    }
  }
} // biome-ignore format: long rows

const REQUEST: AuthorizationRequest = {
  user: 'ada',
  teams: [],
  agent: 'demo',
  grant: null,
  server: '',
  method: 'tools/call',
  params: undefined,
  definition: null,
  scopes: NO_CEILINGS,
  definitionRequired: false,
  from: 'client',
  time: 0,
  era: 'legacy',
  sourceIp: null,
}
/** Reads all there is, so that Cedar is given all of it. */
const PERMIT = '@id("a/all") permit(principal, action, resource) when { context == context };'

beforeAll(async () => {
  const all = tools()
  const derive = [
    { kind: 'path', arguments: ['b', 'in', 'has', 'a b'], root: '/srv', suffix: '_n' },
    { kind: 'url_host', arguments: ['a', 'if', 'user-agent'], suffix: '_host' },
    { kind: 'email_domain', arguments: ['c', 'constructor', '$filter'], suffix: '_domain' },
    { kind: 'count', arguments: ['a', 'b', 'has', 'a_b', 'ключ'], suffix: '_count' },
  ] as const
  const lists = derive.map((one) => ({ ...one, arguments: [...one.arguments] }))
  const servers = {
    plain: { tools: all },
    derived: { file: { derive: lists, allowUnknown: all.map(({ name }) => name) }, tools: all },
  }
  const files = bundleFiles(servers, { p: PERMIT })
  bundle = await withFiles(tmpdir(), files, (folder) => loadBundle(folder, { env: {} }))
  engine = await startEngine({ workers: 2, timeoutMs: 60_000 })
  await engine.activate(bundle.generation)
  await askAll()
}, 300_000)
afterAll(() => engine.stop())

const code = (of: string) => asked.filter(({ answer }) => answer.code === of)

test('Cedar takes the types of every tool', () => {
  expect(bundle.warnings.filter(({ file }) => file.endsWith('tools.lock.json'))).toEqual([])
})

test('every call is permitted by its policy, or refused with its own code before Cedar', () => {
  const refusals = ['unknown_argument', 'unrepresentable_argument', 'invalid_request']
  const strange = asked.filter(({ answer }) => {
    const refused = refusals.includes(answer.code) && answer.cedar.request === ''
    return !refused && answer.code !== 'permit'
  })
  expect(strange).toEqual([])
  expect(engine.stats()).toMatchObject({ throws: 0, replaced: 0, retried: 0, faults: 0 })
})

test.each(['permit', 'unknown_argument', 'unrepresentable_argument', 'invalid_request'])(
  'many come out as %s',
  (of) => {
    expect(code(of).length).toBeGreaterThan(asked.length / 50)
  },
)

type Context = { readonly args: JsonObject; readonly argsMeta: Record<string, string[]> }
const contextOf = ({ answer }: Asked) => JSON.parse(answer.cedar.context) as Context

test('many that are permitted hold typed, opaque, null and unknown arguments', () => {
  const contexts = code('permit').map(contextOf)
  const some = (has: (context: Context) => boolean) => contexts.filter(has).length
  expect(some(({ args }) => Object.keys(args).length > 1)).toBeGreaterThan(300)
  for (const reason of ['opaque', 'nulls', 'unknown']) {
    expect(some(({ argsMeta }) => (argsMeta[reason]?.length ?? 0) > 0)).toBeGreaterThan(20)
  }
  const derived = ['_n', '_host', '_domain', '_count'].map((suffix) =>
    some(({ args }) => Object.keys(args).some((name) => name.endsWith(suffix))),
  )
  expect(Math.min(...derived)).toBeGreaterThan(0)
})

/** Every text in `value` with the JSON pointer of where it stands. */
function texts(value: Json, at = ''): [string, string][] {
  if (typeof value === 'string') return [[at, value]]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) =>
    texts(inner, `${at}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`),
  )
}

test('of what is permitted every text is in the arguments, or named as one that is not', () => {
  const missing: object[] = []
  let seen = 0
  for (const one of code('permit')) {
    const { args, argsMeta } = contextOf(one)
    const left = [...(argsMeta['opaque'] ?? []), ...(argsMeta['unknown'] ?? [])]
    const held = new Set(texts(args).map(([, value]) => value))
    for (const [at, value] of texts(one.given)) {
      const named = left.some((pointer) => at === pointer || at.startsWith(`${pointer}/`))
      const found = held.has(value) || held.has(datetimeText(value) ?? value) || held.has(ipv6Text(value) ?? value)
      if (!named && !found) missing.push({ at, value, args, argsMeta })
      seen++
    }
  }
  expect(missing).toEqual([])
  expect(seen).toBeGreaterThan(1_000)
}) // biome-ignore format: long rows
