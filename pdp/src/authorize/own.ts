// Owns deciding on what a bundle brings beside MCP: a subject, an action and a resource of the bundle's own types. Pure
// over an engine that is passed in. Never looks at a user, a team or a grant of the gateway.
import type { CedarTexts, EntityJson, Evaluation } from '../../../schemas/cedar.ts'
import { entityKey } from '../../../schemas/cedar.ts'
import type { Json, JsonObject } from '../../../schemas/strict-json.ts'
import { ask, denied, NO_ANSWER, UNDECIDED } from './denial.ts'
import { interpret } from './interpret.ts'
import type { ActionKeys, Authorization, EngineKeys, Evaluator } from './types.ts'

/** A name that holds no record has no names inside. */
export type AttributeNames = ReadonlyMap<string, AttributeNames | null>

/** An action of the bundle's own schema; its context may hold the attributes `context` names. */
export type OwnAction = {
  readonly type: string
  readonly id: string
  readonly principalTypes: readonly string[]
  readonly resourceTypes: readonly string[]
  readonly context: AttributeNames
}

/** An entity in Cedar's JSON form. */
export type OwnEntity = {
  readonly uid: EntityJson
  readonly attrs: { readonly [name: string]: Json }
  readonly parents: readonly EntityJson[]
}

/** What is needed of a bundle; all of it is made when the bundle is read. */
export type OwnBundle = {
  readonly generation: { readonly id: string }
  readonly own: {
    readonly actions: readonly OwnAction[]
    /** Entity types and the attributes they declare. */
    readonly types: ReadonlyMap<string, AttributeNames>
    readonly entities: readonly OwnEntity[]
    /** By action, as `type::"id"`. */
    readonly keys: ReadonlyMap<string, ActionKeys>
    /** Whether what a question says of an entity or an action counts beside what the bundle knows. */
    readonly trustRequestProperties: boolean
  }
}

/**
 * `properties` are the caller's word, and count only where the bundle says so. Those of `action` are `context.action`,
 * which nothing else of the question can set.
 */
export type OwnRequest = {
  readonly subject: Described
  readonly action: { readonly name: string; readonly properties: JsonObject }
  readonly resource: Described
  readonly context: JsonObject
}
type Described = EntityJson & { readonly properties: JsonObject }

export type OwnAuthorizer = {
  /** Whether the bundle has such a type; then a question about it is not one of MCP. */
  readonly knowsType: (type: string) => boolean
  /**
   * Decides each by itself, in order; never rejects. A subject, an action and a resource that do not go together are
   * denied with `invalid_request`.
   */
  readonly authorize: (requests: readonly OwnRequest[]) => Promise<Authorization[]>
  /** Ids of the bundle's entities of one type, sorted. */
  readonly idsOf: (type: string) => readonly string[]
  /** Names of the actions that exist for two types. */
  readonly actionsFor: (subjectType: string, resourceType: string) => readonly string[]
}

export function createOwnAuthorizer({
  bundle,
  engine,
  isStale,
}: {
  readonly bundle: OwnBundle
  readonly engine: Evaluator
  readonly isStale: () => boolean
}): OwnAuthorizer {
  const { own } = bundle
  const known = new Map(own.entities.map((entity) => [entityKey(entity.uid), entity]))
  const actionsFor = (subjectType: string, resourceType: string): OwnAction[] =>
    own.actions.filter(
      ({ principalTypes, resourceTypes }) =>
        principalTypes.includes(subjectType) && resourceTypes.includes(resourceType),
    )
  return {
    knowsType: (type) => own.types.has(type),
    idsOf: (type) =>
      own.entities.flatMap(({ uid }) => (uid.type === type ? [uid.id] : [])).toSorted(),
    actionsFor: (subject, resource) =>
      [...new Set(actionsFor(subject, resource).map(({ id }) => id))].toSorted(),
    async authorize(requests) {
      const prepared = requests.map(({ subject, action, resource, ...rest }) => {
        const fitting = actionsFor(subject.type, resource.type).filter(
          ({ id }) => id === action.name,
        )
        const [found] = fitting
        const keys = found && own.keys.get(entityKey(found))
        if (isStale())
          return { refusal: denied({ code: 'stale_bundle', detail: 'the policies are too old' }) }
        if (found === undefined || keys === undefined || fitting.length > 1) {
          return {
            refusal: denied({
              code: 'invalid_request',
              detail: 'no action of this name is for these types',
            }),
          }
        }
        const request = { subject, action, resource, ...rest }
        const texts = toTexts(bundle, known, found, request)
        const evaluation = (of: EngineKeys): Evaluation => {
          return {
            generation: bundle.generation.id,
            policySet: of.policySet,
            schema: of.schema,
            texts,
          }
        }
        const shadow = keys.shadow === null ? [] : [evaluation(keys.shadow)]
        return { texts, evaluations: [evaluation(keys.call), ...shadow] }
      })
      const asked = prepared.flatMap((one) => one.evaluations ?? [])
      const answers = (await ask(engine, asked)).values()
      return prepared.map(({ refusal, texts, evaluations }) => {
        if (refusal !== undefined) return refusal
        const outcomes = evaluations.map(() => interpret(answers.next().value ?? NO_ANSWER))
        const [outcome = UNDECIDED, shadow = null] = outcomes
        return { ...denied({ code: outcome.code, detail: '' }), ...outcome, shadow, cedar: texts }
      })
    },
  }
}

/** Extra properties and context never break a question: what the schema does not declare is left out. */
function toTexts(
  { own }: OwnBundle,
  known: ReadonlyMap<string, OwnEntity>,
  action: OwnAction,
  { subject, resource, context, action: { properties } }: OwnRequest,
): CedarTexts {
  const { action: _, ...given } = context
  const ofAction = own.trustRequestProperties && Object.keys(properties).length > 0
  const said = ofAction ? { ...given, action: properties } : given
  const described = new Map<string, OwnEntity>()
  for (const { type, id, properties: claimed } of [subject, resource]) {
    const stored = known.get(entityKey({ type, id }))
    const trusted = own.trustRequestProperties ? declaredOf(claimed, own.types.get(type)) : {}
    const attrs = { ...stored?.attrs, ...trusted }
    described.set(entityKey({ type, id }), {
      uid: { type, id },
      attrs,
      parents: stored?.parents ?? [],
    })
  }
  const request = {
    principal: { type: subject.type, id: subject.id },
    action: { type: action.type, id: action.id },
    resource: { type: resource.type, id: resource.id },
  }
  return {
    request: JSON.stringify(request),
    context: JSON.stringify(declaredOf(said, action.context)),
    entities: JSON.stringify(reached(described, known)),
  }
}

function declaredOf(given: JsonObject, names: AttributeNames | undefined): JsonObject {
  const kept = Object.entries(given).flatMap(([name, value]): [string, Json][] => {
    const inner = names?.get(name)
    if (inner === undefined) return []
    return [[name, inner !== null && isObject(value) ? declaredOf(value, inner) : value]]
  })
  return Object.fromEntries(kept)
}

/** The entities of a question and all they reach, as parents or in attributes: never the whole directory. */
function reached(
  described: ReadonlyMap<string, OwnEntity>,
  known: ReadonlyMap<string, OwnEntity>,
): OwnEntity[] {
  const found = new Map(described)
  for (const { attrs, parents } of found.values()) {
    for (const named of [...parents, ...entitiesIn(attrs)]) {
      const entity = known.get(entityKey(named))
      if (entity !== undefined && !found.has(entityKey(named))) found.set(entityKey(named), entity)
    }
  }
  return [...found.values()]
}

function entitiesIn(value: Json): EntityJson[] {
  if (typeof value !== 'object' || value === null) return []
  if (Array.isArray(value)) return value.flatMap(entitiesIn)
  const { type, id } = value
  const own = typeof type === 'string' && typeof id === 'string' ? [{ type, id }] : []
  return [...own, ...Object.values(value).flatMap(entitiesIn)]
}

function isObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
