// Owns what a bundle brings of its own beside MCP: a Cedar schema, and entities of its types. Checked here; never decides.
import { entityKey, NAMESPACE } from '../../../schemas/cedar.ts'
import { type Json, parseStrictJson } from '../../../schemas/strict-json.ts'
import type { AttributeNames, OwnAction, OwnEntity } from '../authorize/own.ts'
import type { Candidate } from '../engine/candidate.ts'
import type { SourceFile } from './files.ts'
import type { Finding } from './findings.ts'
import { errorAt, placeOf } from './findings.ts'
import { unitOffset } from './split.ts'
import { itemPlaces } from './yaml.ts'

/** `type` is its entity type: `Action`, or `Photo::Action`. */
type GroupedAction = OwnAction & {
  /** Every group the action is in, at any distance, as `type::"id"`. */
  readonly groups: ReadonlySet<string>
}

export type OwnTypes = {
  /** The schema in Cedar's JSON form, by namespace. */
  readonly schema: { readonly [namespace: string]: object }
  readonly actions: readonly GroupedAction[]
  /** Entity types and the attributes they declare. */
  readonly types: ReadonlyMap<string, AttributeNames>
  readonly entities: readonly OwnEntity[]
}

const NO_OWN_TYPES: OwnTypes = {
  schema: {},
  actions: [],
  types: new Map(),
  entities: [],
}

type Read = { readonly own: OwnTypes; readonly findings: readonly Finding[] }

/** Reads the schemas, which are one schema together, and the entities against it. */
export async function readOwnTypes(
  schemas: readonly SourceFile[],
  entities: readonly SourceFile[],
  candidate: Candidate,
): Promise<Read> {
  const [first] = schemas
  if (first === undefined) {
    const without = entities.map(({ file }) => errorAt(file, 'there is no schema/ for entities'))
    return { own: NO_OWN_TYPES, findings: without }
  }
  const parsed = await parseSchemas(schemas, candidate)
  if (parsed.findings.length > 0) return { own: NO_OWN_TYPES, findings: parsed.findings }
  const { schema, resolved } = parsed
  const taken = Object.keys(schema).find((name) => name.split('::')[0] === NAMESPACE)
  if (taken !== undefined) {
    const message = `the namespace ${NAMESPACE} is the gateway's own`
    return { own: NO_OWN_TYPES, findings: [declaredAt(schemas, 'namespace', taken, message)] }
  }
  const [problem = null] = await candidate.check([JSON.stringify(schema)])
  if (problem !== null) return { own: NO_OWN_TYPES, findings: [errorAt(first.file, problem)] }
  const read = await readEntities(entities, schema, candidate)
  return {
    own: { schema, entities: read.entities, ...declared(resolved) },
    findings: read.findings,
  }
}

/**
 * Names of the bundle's own schema that Cedar cannot tell from the gateway's: without a namespace they would hide ours.
 * `schema` is the whole one, ours included.
 */
export function takenNames(
  { schema: own }: OwnTypes,
  schema: object,
  files: readonly SourceFile[],
): Finding[] {
  const { [NAMESPACE]: ours = {} } = schema as Schema
  const { [NO_NAMESPACE]: theirs = {} }: Schema = own
  const types = { ...ours.entityTypes, ...ours.commonTypes }
  const taken = (kind: Declared, names: object, held: object): Finding[] =>
    Object.keys(names)
      .filter((name) => Object.hasOwn(held, name))
      .toSorted()
      .map((name) => {
        const message = `\`${name}\` is a name of the gateway's; declare yours in a namespace`
        return declaredAt(files, kind, name, message)
      })
  return [
    ...taken('entity', theirs.entityTypes ?? {}, types),
    ...taken('type', theirs.commonTypes ?? {}, types),
    ...taken('action', theirs.actions ?? {}, ours.actions ?? {}),
  ]
}

const NO_NAMESPACE = ''
type Declared = 'namespace' | 'entity' | 'type' | 'action'

/** Where `name` is declared in the human syntax; in JSON, where it is first written. */
function declaredAt(
  files: readonly SourceFile[],
  kind: Declared,
  name: string,
  message: string,
): Finding {
  const literal = RegExp.escape(name)
  const declaration = new RegExp(`\\b${kind}\\s(?:[^;{}=]*[\\s,"])?(?=${literal}(?:[\\s,;"{=]|$))`)
  const written = new RegExp(`"(?=${literal}")`)
  for (const { file, text } of files) {
    const pattern = file.endsWith('.json') ? written : declaration
    const found = pattern.exec(text.replaceAll(COMMENT, (comment) => ' '.repeat(comment.length)))
    if (found !== null) return errorAt(file, message, placeOf(text, found.index + found[0].length))
  }
  return errorAt(files[0]?.file ?? 'schema', message)
}

const COMMENT = /\/\/.*/g

type Schema = { readonly [namespace: string]: SchemaNamespace }
type SchemaNamespace = {
  readonly commonTypes?: { readonly [name: string]: SchemaType }
  readonly entityTypes?: { readonly [name: string]: { readonly shape?: SchemaType } }
  readonly actions?: { readonly [id: string]: SchemaAction }
}
type SchemaType = {
  readonly type: string
  readonly attributes?: { readonly [name: string]: SchemaType }
}
type SchemaAction = {
  readonly memberOf?: readonly { readonly id: string; readonly type?: string }[]
  readonly appliesTo?: {
    readonly principalTypes: readonly string[]
    readonly resourceTypes: readonly string[]
    readonly context?: SchemaType
  }
}

/** Texts in the human syntax are one text; one in JSON stands by itself, which is how a stored bundle keeps it. */
async function parseSchemas(files: readonly SourceFile[], candidate: Candidate) {
  const findings: Finding[] = []
  const [json] = files.filter(({ file }) => file.endsWith('.json'))
  if (json !== undefined && files.length > 1) {
    findings.push(errorAt(json.file, 'a schema in JSON must be the only one'))
  }
  if (json !== undefined && findings.length === 0) {
    return parseJsonSchema(json, candidate)
  }
  const whole = files.map(({ text }) => text).join('\n')
  const [answer] = json === undefined ? await candidate.schemas([whole]) : []
  if (answer?.ok === true) {
    return { schema: answer.json as Schema, resolved: answer.resolved as Schema, findings }
  }
  if (answer?.ok === false) {
    findings.push(findingOf(files, whole, answer.problem.start, answer.problem.message))
  }
  return { schema: {}, resolved: {}, findings }
}

/** Cedar resolves names in the human syntax alone, so a schema in JSON is written in it first. */
async function parseJsonSchema({ file, text }: SourceFile, candidate: Candidate) {
  const none = { schema: {}, resolved: {} }
  const parsed = parseStrictJson(text)
  if (!parsed.ok) {
    return { ...none, findings: [errorAt(file, parsed.message, placeOf(text, parsed.at))] }
  }
  const [problem = null] = await candidate.check([text])
  if (problem !== null) return { ...none, findings: [errorAt(file, problem)] }
  const [answer] = await candidate.schemas([await candidate.writeSchema(text)])
  if (answer?.ok !== true) return { ...none, findings: [errorAt(file, 'Cedar cannot write it')] }
  const schema = parsed.value as unknown as Schema
  return { schema, resolved: answer.resolved as Schema, findings: [] }
}

/** Where byte `start` of the joined texts lies. */
function findingOf(
  files: readonly SourceFile[],
  whole: string,
  start: number,
  message: string,
): Finding {
  let at = unitOffset(whole, start)
  for (const { file, text } of files) {
    if (at <= text.length) return errorAt(file, message, placeOf(text, at))
    at -= text.length + 1
  }
  return errorAt(files.at(-1)?.file ?? 'schema', message)
}

async function readEntities(
  files: readonly SourceFile[],
  schema: object,
  candidate: Candidate,
): Promise<{ readonly entities: readonly OwnEntity[]; readonly findings: readonly Finding[] }> {
  const findings: Finding[] = []
  const good: SourceFile[] = []
  for (const source of files) {
    const problem = arrayProblem(source)
    if (problem === undefined) good.push(source)
    else findings.push(problem)
  }
  const json = JSON.stringify(schema)
  const problems = await candidate.entities(
    json,
    good.map(({ text }) => text),
  )
  for (const [index, source] of good.entries()) {
    if (typeof problems[index] === 'string') findings.push(await culprit(source, json, candidate))
  }
  if (findings.length > 0) return { entities: [], findings }
  const placed = good.flatMap((source) =>
    (JSON.parse(source.text) as OwnEntity[]).map((entity, index) => ({ entity, source, index })),
  )
  const keys = placed.map(({ entity: { uid } }) => entityKey(uid))
  const seen = new Set<string>()
  for (const [at, { source, index }] of placed.entries()) {
    const key = keys[at] ?? ''
    if (seen.has(key))
      findings.push(entityProblem(source, index, `the entity ${key} is there twice`))
    seen.add(key)
  }
  return { entities: placed.map(({ entity }) => entity), findings }
}

/** The first entity of a list that Cedar does not take: the last of the shortest beginning that is refused. */
async function culprit(source: SourceFile, schema: string, candidate: Candidate): Promise<Finding> {
  const all = JSON.parse(source.text) as Json[]
  const refused = async (count: number): Promise<string | null> => {
    const [problem = null] = await candidate.entities(schema, [JSON.stringify(all.slice(0, count))])
    return problem
  }
  let [fits, fails] = [0, all.length]
  while (fails - fits > 1) {
    const middle = Math.floor((fits + fails) / 2)
    if ((await refused(middle)) === null) fits = middle
    else fails = middle
  }
  return entityProblem(source, fails - 1, (await refused(fails)) ?? 'the entities do not fit')
}

function entityProblem({ file, text }: SourceFile, index: number, message: string): Finding {
  return errorAt(file, message, itemPlaces(text)[index])
}

function arrayProblem({ file, text }: SourceFile): Finding | undefined {
  const parsed = parseStrictJson(text)
  if (!parsed.ok) return errorAt(file, parsed.message, placeOf(text, parsed.at))
  return Array.isArray(parsed.value) ? undefined : errorAt(file, 'a list of entities is expected')
}

function declared(schema: Schema): Pick<OwnTypes, 'actions' | 'types'> {
  const types = new Map<string, AttributeNames>()
  const actions: GroupedAction[] = []
  const groups = groupsOf(schema)
  for (const [namespace, of] of Object.entries(schema)) {
    for (const [name, { shape }] of Object.entries(of.entityTypes ?? {})) {
      types.set(qualified(namespace, name), attributeNames(shape, schema))
    }
    for (const [id, { appliesTo }] of Object.entries(of.actions ?? {})) {
      if (appliesTo === undefined || appliesTo.principalTypes.length === 0) continue
      const type = qualified(namespace, 'Action')
      const { principalTypes, resourceTypes, context } = appliesTo
      actions.push({
        type,
        id,
        groups: above(entityKey({ type, id }), groups),
        principalTypes,
        resourceTypes,
        context: attributeNames(context, schema),
      })
    }
  }
  return { types, actions }
}

function qualified(namespace: string, name: string): string {
  return namespace === '' ? name : `${namespace}::${name}`
}

function groupsOf(schema: Schema): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, readonly string[]>()
  for (const [namespace, of] of Object.entries(schema)) {
    const type = qualified(namespace, 'Action')
    for (const [id, { memberOf = [] }] of Object.entries(of.actions ?? {})) {
      const parents = memberOf.map((one) => entityKey({ type: one.type ?? type, id: one.id }))
      groups.set(entityKey({ type, id }), parents)
    }
  }
  return groups
}

function above(key: string, groups: ReadonlyMap<string, readonly string[]>): ReadonlySet<string> {
  const found = new Set(groups.get(key) ?? [])
  for (const group of found) for (const parent of groups.get(group) ?? []) found.add(parent)
  return found
}

/** Names of a record, or of the common type it is. A type that is no record has none. */
function attributeNames(type: SchemaType | undefined, schema: Schema): AttributeNames {
  const record = type === undefined ? undefined : recordOf(type, schema)
  return new Map(
    Object.entries(record?.attributes ?? {}).map(([name, inner]) => {
      return [name, recordOf(inner, schema) === undefined ? null : attributeNames(inner, schema)]
    }),
  )
}

function recordOf(type: SchemaType, schema: Schema): SchemaType | undefined {
  if (type.type === 'Record') return type
  const cut = type.type.lastIndexOf('::')
  const namespace = cut === -1 ? '' : type.type.slice(0, cut)
  const common = schema[namespace]?.commonTypes?.[type.type.slice(cut === -1 ? 0 : cut + 2)]
  return common === undefined ? undefined : recordOf(common, schema)
}
