// Owns tests in the file format of `cedar run-tests`, so that the stock command line runs them too. Pure.
import { z } from 'zod'
import { ENTITY } from '../../../schemas/cedar.ts'
import { NO_CEILINGS } from '../../../schemas/scopes.ts'
import { scopesOf } from '../authorize/request.ts'
import type { SourceFile } from '../bundle/files.ts'
import type { Finding, Place } from '../bundle/findings.ts'
import { errorAt, placeOf } from '../bundle/findings.ts'
import { readYaml } from '../bundle/yaml.ts'
import type { PolicyTest } from './tests.ts'

type Uid = { readonly type: string; readonly id: string }

/** `MCP::User::"alice"` */
const UID = /^([A-Za-z_]\w*(?:::[A-Za-z_]\w*)*)::"((?:[^"\\]|\\.)*)"$/s
const ESCAPE = /\\(?:u\{([0-9a-fA-F]{1,6})\}|x([0-7][0-9a-fA-F])|([0nrt'"\\*]))/g
const ESCAPED: Readonly<Record<string, string>> = { '0': '\0', n: '\n', r: '\r', t: '\t' }

const uid = z.string().transform((text, context): Uid => {
  const [, type = '', id = ''] = UID.exec(text) ?? []
  if (type === '') context.addIssue({ code: 'custom', message: 'must be like MCP::User::"alice"' })
  const plain = id.replaceAll(ESCAPE, (_, unicode?: string, hex?: string, one = '') => {
    const code = unicode ?? hex
    return code === undefined ? (ESCAPED[one] ?? one) : String.fromCodePoint(parseInt(code, 16))
  })
  return { type, id: plain }
})

const cedarTests = z.array(
  z.strictObject({
    name: z.string().default(''),
    request: z.strictObject({
      principal: uid,
      action: uid,
      resource: uid,
      context: z.record(z.string(), z.unknown()).default({}),
    }),
    entities: z.array(z.unknown()),
    decision: z.enum(['allow', 'deny']),
    reason: z.array(z.string()),
    num_errors: z.int().min(0),
  }),
)

/** The tests of one JSON file, or every mistake in it at its line. */
export function readCedarTests(source: SourceFile): {
  readonly tests: readonly PolicyTest[]
  readonly findings: readonly Finding[]
} {
  const { file, text } = source
  const problem = notJson(text)
  if (problem !== undefined) return { tests: [], findings: [errorAt(file, ...problem)] }
  const read = readYaml(source, cedarTests)
  if (!read.ok) return { tests: [], findings: read.findings }
  const tests = read.value.map((test, index): PolicyTest => {
    const { principal, action, resource, context } = test.request
    return {
      name: test.name === '' ? `test ${index + 1}` : test.name,
      file,
      place: read.placeAt([index]),
      question: {
        kind: 'cedar',
        texts: {
          request: JSON.stringify({ principal, action, resource }),
          context: JSON.stringify(withoutEscapes(contextOf(action, context))),
          entities: JSON.stringify(withoutEscapes(test.entities)),
        },
      },
      expect: {
        kind: 'cedar',
        verdict: test.decision,
        reason: test.reason,
        errors: test.num_errors,
      },
    }
  })
  return { tests, findings: [] }
}

/** Scopes need not be said: without a word of them, nobody set a ceiling. */
function contextOf(action: Uid, context: Record<string, unknown>): Record<string, unknown> {
  return action.type === ENTITY.action ? { scopes: scopesOf(NO_CEILINGS), ...context } : context
}

/** JSON is read as the YAML that it is, for its lines; what only YAML takes would fail in the stock command line. */
function notJson(text: string): [message: string, at: Place] | undefined {
  try {
    JSON.parse(text)
    return undefined
  } catch (error) {
    const { message } = error as SyntaxError
    return [`not JSON: ${message}`, placeOf(text, Number(/position (\d+)/.exec(message)?.[1] ?? 0))]
  }
}

/** Cedar's escapes say what the schema says as well; the engine takes none, from anybody. */
function withoutEscapes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEscapes)
  if (typeof value !== 'object' || value === null) return value
  const { __entity: entity, __extn: extension } = value as Record<string, unknown>
  if (entity !== undefined) return entity
  if (extension !== undefined) return (extension as { arg?: unknown }).arg
  return Object.fromEntries(Object.entries(value).map(([key, of]) => [key, withoutEscapes(of)]))
}
