// Owns every call into cedar-wasm. Runs in worker threads only: a wasm instance can be lost for good, and then goes
// with its thread. Hands nothing to Cedar that was not seen to be plain JSON.
import {
  checkParseEntities,
  checkParseSchema,
  formatPolicies,
  getCedarVersion,
  initSync,
  policyToJson,
  policyToText,
  preparsePolicySet,
  preparseSchema,
  schemaToJson,
  schemaToJsonWithResolvedTypes,
  schemaToText,
  statefulIsAuthorized,
  validate,
} from '@cedar-policy/cedar-wasm/web'
import type {
  EngineAnswer,
  Generation,
  PackedGeneration,
  PolicyJson,
} from '../../../schemas/cedar.ts'
import { unpackGeneration } from '../../../schemas/cedar.ts'
import { POLICY_DEPTH_MAX } from '../../../schemas/limits.ts'
import { CANARIES, CANARY_GENERATION } from './canary.ts'
import type {
  ParsedPolicy,
  ParsedSchema,
  PolicyProblem,
  WorkerAnswer,
  WorkerCall,
} from './messages.ts'
import { plainJsonFault } from './plain-json.ts'

/** The one instance of this thread. */
export function startCedar(module: WebAssembly.Module): void {
  initSync({ module })
}

export function cedarVersion(): string {
  return getCedarVersion()
}

const policySets = new Set<string>()
const schemas = new Set<string>()

/** Parses everything a generation needs, then proves the instance. Throws when either fails. Once per thread. */
export function activate(generation: PackedGeneration): void {
  preparse(CANARY_GENERATION)
  preparse(unpackGeneration(generation))
  for (const { call, decision, reason } of CANARIES) {
    const answer = evaluateOne(call)
    const said = answer.kind === 'success' ? answer.decision : answer.kind
    const by = answer.kind === 'success' ? answer.reason.join() : ''
    if (said !== decision || by !== reason) throw new Error('the engine fails its own check')
  }
}

function preparse(generation: Generation): void {
  for (const { key, policies } of generation.policySets) {
    const answer = preparsePolicySet(key, { staticPolicies: { ...policies } as StaticPolicies })
    if (answer.type === 'failure') throw new Error(answer.errors.map((e) => e.message).join('; '))
    policySets.add(key)
  }
  for (const { key, schema } of generation.schemas) {
    const answer = preparseSchema(key, JSON.parse(schema))
    if (answer.type === 'failure') throw new Error(answer.errors.map((e) => e.message).join('; '))
    schemas.add(key)
  }
}

/** Evaluates in order. A call that throws is answered `fault`; one that kills the instance ends the batch. */
export function evaluate(calls: readonly WorkerCall[]): WorkerAnswer {
  const answers: EngineAnswer[] = []
  let throws = 0
  for (const call of calls) {
    try {
      answers.push(evaluateOne(call))
    } catch (error) {
      if (isFatal(error)) return { kind: 'died', answers, cause: String(error) }
      throws++
      answers.push({ kind: 'fault', cause: 'the engine threw' })
    }
  }
  return { kind: 'answered', answers, throws }
}

/** `RuntimeError` and `RangeError` leave the instance's memory in an unknown state. */
function isFatal(error: unknown): boolean {
  return error instanceof WebAssembly.RuntimeError || error instanceof RangeError
}

type StaticPolicies = Parameters<typeof preparsePolicySet>[1]['staticPolicies'] & object
type Parts = Pick<Parameters<typeof statefulIsAuthorized>[0], 'principal' | 'action' | 'resource'>
type Call = Parameters<typeof statefulIsAuthorized>[0]

function evaluateOne({ policySet, schema, texts }: WorkerCall): EngineAnswer {
  if (!policySets.has(policySet) || !schemas.has(schema)) {
    return { kind: 'fault', cause: `\`${policySet}\` or \`${schema}\` is not of this generation` }
  }
  const request = JSON.parse(texts.request) as Parts
  const context = JSON.parse(texts.context) as Call['context']
  const entities = JSON.parse(texts.entities) as Call['entities']
  const fault = plainJsonFault([request, context, entities])
  if (fault !== undefined) return { kind: 'failure', message: fault }
  const answer = statefulIsAuthorized({
    principal: request.principal,
    action: request.action,
    resource: request.resource,
    context,
    entities,
    preparsedPolicySetId: policySet,
    preparsedSchemaName: schema,
    validateRequest: true,
  })
  if (answer.type === 'failure') {
    return { kind: 'failure', message: answer.errors.map(({ message }) => message).join('; ') }
  }
  const { decision, diagnostics } = answer.response
  const errors = diagnostics.errors.map(({ policyId }) => policyId)
  return { kind: 'success', decision, reason: diagnostics.reason, errors }
}

/** Each text as one policy. The list ends early, with the culprit last, when one of them kills the instance. */
export function parsePolicies(texts: readonly string[]): ParsedPolicy[] {
  const parsed: ParsedPolicy[] = []
  for (const text of texts) {
    try {
      parsed.push(parsePolicy(text))
    } catch (error) {
      parsed.push({ ok: false, problem: TOO_DEEP })
      if (isFatal(error)) return parsed
    }
  }
  return parsed
}

const TOO_DEEP = { message: 'Cedar cannot read this policy: too deeply nested', start: 0 }

/** What is deeper than this could not even be handed to another thread. */
function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1))
}

function parsePolicy(text: string): ParsedPolicy {
  const answer = policyToJson(text)
  if (answer.type === 'success') {
    if (isDeeper(answer.json, POLICY_DEPTH_MAX)) return { ok: false, problem: TOO_DEEP }
    return { ok: true, policy: answer.json as PolicyJson }
  }
  const [first] = answer.errors
  const message = first?.message ?? 'not a policy'
  return { ok: false, problem: { message, start: first?.sourceLocations?.[0]?.start ?? 0 } }
}

/** Cedar's own one-line form of each, without comments. */
export function printPolicies(policies: readonly PolicyJson[]): string[] {
  return policies.map((policy) => {
    const answer = policyToText(policy as Parameters<typeof policyToText>[0])
    if (answer.type === 'failure') throw new Error(answer.errors.map((e) => e.message).join('; '))
    return answer.text
  })
}

/**
 * Each policy file in the layout of Cedar's formatter with its defaults; null for one it does not take. The list ends
 * early, with the culprit last, when one of them kills the instance. Does NOT check that the layout means the same.
 */
export function formatTexts(texts: readonly string[]): (string | null)[] {
  const formatted: (string | null)[] = []
  for (const policyText of texts) {
    try {
      const answer = formatPolicies({ policyText })
      formatted.push(answer.type === 'success' ? answer.formatted_policy : null)
    } catch (error) {
      formatted.push(null)
      if (isFatal(error)) return formatted
    }
  }
  return formatted
}

/** A schema in Cedar's JSON form, as JSON text, in the syntax people read. Throws when Cedar cannot read it. */
export function writeSchema(text: string): string {
  const answer = schemaToText(JSON.parse(text))
  if (answer.type === 'failure') throw new Error(answer.errors.map((e) => e.message).join('; '))
  return answer.text
}

/** Per schema, why Cedar cannot read it; null when it can. */
export function checkSchemas(texts: readonly string[]): (string | null)[] {
  return texts.map((text) => {
    const answer = checkParseSchema(JSON.parse(text))
    return answer.type === 'success' ? null : answer.errors.map((e) => e.message).join('; ')
  })
}

/** Each text as a schema in Cedar's human syntax. */
export function parseSchemas(texts: readonly string[]): ParsedSchema[] {
  return texts.map((text) => {
    const json = schemaToJson(text)
    if (json.type === 'failure') return unparsed(json.errors)
    const resolved = schemaToJsonWithResolvedTypes(text)
    if (resolved.type === 'failure') return unparsed(resolved.errors)
    return { ok: true, json: json.json, resolved: resolved.json }
  })
}

type Unparsed = Extract<ReturnType<typeof schemaToJson>, { type: 'failure' }>['errors']

function unparsed([first]: Unparsed): ParsedSchema {
  const message = first?.message ?? 'not a schema'
  return { ok: false, problem: { message, start: first?.sourceLocations?.[0]?.start ?? 0 } }
}

/** Per list of entities (JSON text), why it does not fit the schema (JSON text); null when it does. */
export function checkEntities(schema: string, texts: readonly string[]): (string | null)[] {
  return texts.map((text) => {
    const entities = JSON.parse(text) as Parameters<typeof checkParseEntities>[0]['entities']
    const fault = plainJsonFault(entities)
    if (fault !== undefined) return fault
    const answer = checkParseEntities({ entities, schema: JSON.parse(schema) })
    return answer.type === 'success' ? null : answer.errors.map((e) => e.message).join('; ')
  })
}

/** Strict validation; warnings too. Throws when the policies or the schema cannot be parsed at all. */
export function validatePolicies(
  schema: string,
  policies: Readonly<Record<string, string>>,
): PolicyProblem[] {
  const answer = validate({
    validationSettings: { mode: 'strict' },
    schema: JSON.parse(schema),
    policies: { staticPolicies: { ...policies } },
  })
  if (answer.type === 'failure') throw new Error(answer.errors.map((e) => e.message).join('; '))
  const found = [
    ...answer.validationErrors.map((of) => ({ ...of, severity: 'error' }) as const),
    ...answer.validationWarnings.map((of) => ({ ...of, severity: 'warning' }) as const),
  ]
  return found.map(({ policyId, error, severity }) => ({
    policy: policyId,
    severity,
    message: error.message.replace(`for policy \`${policyId}\`, `, ''),
    start: error.sourceLocations?.[0]?.start ?? 0,
  }))
}
