// Owns the OpenID AuthZEN Authorization API 1.0 wire words: subject, action, resource, context → decision.
// Used only here and in the route that speaks it. Unknown fields are ignored, as §6 of the specification asks.
import { z } from 'zod'
import { AUTHZEN_EVALUATIONS_MAX } from './limits.ts'

const properties = z.record(z.string(), z.unknown())
const subject = z.object({ type: z.string(), id: z.string(), properties: properties.optional() })
const action = z.object({ name: z.string(), properties: properties.optional() })
const resource = z.object({ type: z.string(), id: z.string(), properties: properties.optional() })
const context = properties

/** One question. A missing `subject`, `action` or `resource`, or a field of the wrong type, is a 400. */
export const evaluation = z.object({ subject, action, resource, context: context.optional() })
export type Evaluation = z.infer<typeof evaluation>

export const SEMANTICS = ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] as const
export type Semantic = (typeof SEMANTICS)[number]

/** A batch: top-level keys are defaults, an item that has one replaces it whole. Items are checked one by one. */
export const evaluations = z.object({
  subject: subject.optional(),
  action: action.optional(),
  resource: resource.optional(),
  context: context.optional(),
  evaluations: z.array(z.record(z.string(), z.unknown())).max(AUTHZEN_EVALUATIONS_MAX).optional(),
  options: z.object({ evaluations_semantic: z.enum(SEMANTICS).default('execute_all') }).optional(),
})
export type Evaluations = z.infer<typeof evaluations>

/** What is searched for is named by its type; an `id` it has is ignored. */
const anySubject = subject.omit({ id: true })
const anyResource = resource.omit({ id: true })
export const subjectSearch = z.object({
  subject: anySubject,
  action,
  resource,
  context: context.optional(),
})
export const resourceSearch = z.object({
  subject,
  action,
  resource: anyResource,
  context: context.optional(),
})
export const actionSearch = z.object({ subject, resource, context: context.optional() })

export type SearchResult =
  | { readonly type: string; readonly id: string }
  | { readonly name: string; readonly properties?: { readonly [name: string]: unknown } }

/** The answer to one question. A deny is a 200. */
export type EvaluationAnswer = {
  readonly decision: boolean
  readonly context?: {
    readonly id?: string
    readonly code?: string
    readonly policies?: readonly string[]
    readonly error?: { readonly status: number; readonly message: string }
  }
}
