// Owns tests as a matrix: people × calls → verdict, code and policies. Reads one YAML file against the bundle it
// tests, so that a misspelt name is a mistake and not a test that passes because everything is denied. Pure.
import { z } from 'zod'
import { VERDICT_CODES } from '../../../schemas/codes.ts'
import { sha256Hex, subjectId } from '../../../schemas/identifiers.ts'
import { METHODS } from '../../../schemas/mcp.ts'
import { SCOPES, scopes } from '../../../schemas/scopes.ts'
import type { Bundle } from '../bundle/bundle.ts'
import type { SourceFile } from '../bundle/files.ts'
import type { Finding } from '../bundle/findings.ts'
import { readYaml } from '../bundle/yaml.ts'
import type { Caller, SentMessage } from './message.ts'
import { paramsAsSent, requestOf } from './message.ts'
import type { Expectation, PolicyTest } from './tests.ts'

/** `now` of a matrix that says nothing. */
const NOW_DEFAULT = '2026-01-01T12:00:00Z'

const expectedVerdict = z.preprocess(
  (written) => (typeof written === 'string' ? { verdict: written } : written),
  z
    .strictObject({
      verdict: z.enum(['allow', 'deny']),
      code: z.enum(VERDICT_CODES).optional(),
      policies: z.array(z.string()).optional(),
    })
    .refine(
      ({ verdict, code }) => code === undefined || (verdict === 'allow') === (code === 'permit'),
      {
        path: ['code'],
        error: '`permit` is the code of an allow, and of no deny',
      },
    ),
)

const expectedList = z.preprocess(
  (written) => (Array.isArray(written) ? { shows: written, exactly: true } : written),
  z.strictObject({
    shows: z.array(z.string()).default([]),
    hides: z.array(z.string()).default([]),
    exactly: z.boolean().default(false),
  }),
)

const ceilings = z.strictObject({
  user: scopes.default([...SCOPES]),
  agent: scopes.default([...SCOPES]),
  grant: scopes.default([...SCOPES]),
})

const person = z.preprocess(
  (written) => (Array.isArray(written) ? { teams: written } : written),
  z
    .strictObject({
      teams: z.array(subjectId).optional(),
      agent: subjectId.optional(),
      scopes: ceilings.optional(),
    })
    .refine(({ teams, agent }) => teams !== undefined || agent !== undefined, {
      error: 'say `teams: […]` for a person, or only `agent` for an agent that acts for nobody',
    }),
)

const call = z.strictObject({
  name: z.string().optional(),
  server: z.string(),
  tool: z.string().optional(),
  arguments: z.record(z.string(), z.unknown()).optional(),
  definition: sha256Hex.optional(),
  method: z.string().optional(),
  params: z.record(z.string(), z.unknown()).optional(),
  expect: z.record(z.string(), expectedVerdict).default({}),
})

const list = z.strictObject({
  name: z.string().optional(),
  server: z.string(),
  expect: z.record(z.string(), expectedList).default({}),
})

const matrixFile = z.strictObject({
  now: z.iso.datetime({ offset: true }).default(NOW_DEFAULT),
  era: z.enum(['legacy', 'modern']).optional(),
  sourceIp: z.union([z.ipv4(), z.ipv6()]).default('127.0.0.1'),
  users: z.record(subjectId, person),
  tests: z.array(call).default([]),
  lists: z.array(list).default([]),
})
type Matrix = z.infer<typeof matrixFile>
type Call = z.infer<typeof call>
type Person = z.infer<typeof person>

/** The tests of one YAML file, or every mistake in it at its line. Every person is asked about in every test. */
export function readMatrix(
  source: SourceFile,
  bundle: Bundle,
): { readonly tests: readonly PolicyTest[]; readonly findings: readonly Finding[] } {
  const checked = matrixFile.superRefine((matrix, context) => {
    for (const { path, message } of mistakes(matrix, bundle)) {
      context.addIssue({ code: 'custom', path, message })
    }
  })
  const read = readYaml(source, checked)
  if (!read.ok) return { tests: [], findings: read.findings }
  const { value: matrix, placeAt } = read
  const people = Object.entries(matrix.users)
  const calls = matrix.tests.flatMap((of, index) =>
    people.map(
      ([user, who]): PolicyTest => ({
        name: `${of.name ?? `${of.server}/${of.tool ?? of.method}`} › ${user}`,
        file: source.file,
        place: placeAt(['tests', index]),
        question: {
          kind: 'message',
          request: requestOf(callerOf(matrix, user, who), sentMessage(of)),
        },
        expect: verdictOf(of, user),
      }),
    ),
  )
  const lists = matrix.lists.flatMap((of, index) =>
    people.map(
      ([user, who]): PolicyTest => ({
        name: `${of.name ?? `tools of ${of.server}`} › ${user}`,
        file: source.file,
        place: placeAt(['lists', index]),
        question: {
          kind: 'message',
          request: requestOf(callerOf(matrix, user, who), listing(of.server)),
        },
        expect: { kind: 'list', ...(own(of.expect, user) ?? NOTHING_SHOWN) },
      }),
    ),
  )
  return { tests: [...calls, ...lists], findings: [] }
}

const NOTHING_SHOWN = { shows: [], hides: [], exactly: true } as const

function verdictOf({ expect }: Call, user: string): Expectation {
  const { verdict, code, policies } = own(expect, user) ?? { verdict: 'deny' as const }
  return {
    kind: 'verdict',
    verdict,
    code: code ?? null,
    policies: policies?.toSorted() ?? null,
  }
}

function listing(server: string): SentMessage {
  return sentMessage({ server, method: 'tools/list', expect: {} })
}

function callerOf({ now, era, sourceIp }: Matrix, name: string, who: Person): Caller {
  const { teams, agent = 'test', scopes: of } = who
  const user = teams === undefined ? null : name
  const time = Date.parse(now)
  return { user, teams: teams ?? [], agent, ...(of && { scopes: of }), time, sourceIp, era }
}

function sentMessage(of: Call): SentMessage {
  const { method, params } = messageOf(of)
  const sent = paramsAsSent(method, params)
  return {
    server: of.server,
    method,
    params: sent.ok ? sent.params : undefined,
    definition: of.definition,
  }
}

function messageOf(of: Call): { method: string; params: Readonly<Record<string, unknown>> } {
  if (of.tool === undefined) return { method: of.method ?? '', params: of.params ?? {} }
  return { method: 'tools/call', params: { name: of.tool, arguments: of.arguments ?? {} } }
}

type Mistake = { readonly path: PropertyKey[]; readonly message: string }

function mistakes(matrix: Matrix, bundle: Bundle): Mistake[] {
  return [
    ...(Object.keys(matrix.users).length > 0
      ? []
      : [{ path: ['users'], message: 'nobody to ask about' }]),
    ...matrix.tests.flatMap((of, index) => callMistakes(of, matrix, bundle, ['tests', index])),
    ...matrix.lists.flatMap((of, index) => {
      const path = ['lists', index]
      const named = Object.entries(of.expect).flatMap(([user, { shows, hides }]) => {
        return unknownTools([...shows, ...hides], of.server, bundle, [...path, 'expect', user])
      })
      return [
        ...serverMistakes(of, bundle, path),
        ...userMistakes(of.expect, matrix, path),
        ...named,
      ]
    }),
  ]
}

function callMistakes(of: Call, matrix: Matrix, bundle: Bundle, path: PropertyKey[]): Mistake[] {
  const expected = Object.entries(of.expect)
  const found = [...serverMistakes(of, bundle, path), ...userMistakes(of.expect, matrix, path)]
  if ((of.tool === undefined) === (of.method === undefined)) {
    found.push({ path, message: 'say either `tool` or `method`' })
  }
  if (of.tool === undefined ? of.arguments !== undefined : of.params !== undefined) {
    found.push({ path, message: '`arguments` belong to `tool`, `params` to `method`' })
  }
  if (of.method !== undefined && !METHODS.has(of.method)) {
    found.push({ path: [...path, 'method'], message: 'the gateway does not know this method' })
  }
  const meansUnknown = expected.some(([, { code }]) => code === 'unknown_tool')
  if (of.tool !== undefined && !meansUnknown) {
    found.push(...unknownTools([of.tool], of.server, bundle, [...path, 'tool']))
  }
  for (const [user, { policies = [] }] of expected) {
    const unknown = policies.filter((id) => !bundle.policies.has(id) && !bundle.base.has(id))
    for (const id of unknown) {
      found.push({
        path: [...path, 'expect', user, 'policies'],
        message: `no policy \`${id}\` in this bundle`,
      })
    }
  }
  const { method, params } = messageOf(of)
  const sent = paramsAsSent(method, params)
  const inexact = hasInexact(params) ? 'a number in it would be rounded' : undefined
  const problem = sent.ok ? inexact : sent.detail
  if (problem !== undefined) found.push({ path, message: `this cannot be sent: ${problem}` })
  return found
}

function serverMistakes(
  { server }: { server: string },
  bundle: Bundle,
  path: PropertyKey[],
): Mistake[] {
  if (bundle.servers.has(server)) return []
  return [{ path: [...path, 'server'], message: `no server \`${server}\` in this bundle` }]
}

function userMistakes(
  expect: Readonly<Record<string, unknown>>,
  { users }: Matrix,
  path: PropertyKey[],
): Mistake[] {
  return Object.keys(expect)
    .filter((user) => !Object.hasOwn(users, user))
    .map((user) => ({ path: [...path, 'expect', user], message: `no \`${user}\` in \`users\`` }))
}

function unknownTools(
  names: readonly string[],
  server: string,
  bundle: Bundle,
  path: PropertyKey[],
): Mistake[] {
  const tools = bundle.servers.get(server)?.tools
  if (tools === undefined) return []
  return names
    .filter((name) => !tools.has(name))
    .map((name) => ({ path, message: `no tool \`${name}\` in the lock of \`${server}\`` }))
}

/** YAML has read the number by now; beyond these the file said another one. */
function hasInexact(value: unknown): boolean {
  if (typeof value === 'number') {
    return !Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))
  }
  return typeof value === 'object' && value !== null && Object.values(value).some(hasInexact)
}

function own<Value>(from: Readonly<Record<string, Value>>, name: string): Value | undefined {
  return Object.hasOwn(from, name) ? from[name] : undefined
}
