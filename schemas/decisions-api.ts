// Owns the wire of `/admin/v1/decisions*`: what is asked of recorded decisions, and one as people read it.
import { z } from 'zod'
import { VERDICT_CODES } from './codes.ts'
import { sha256Hex } from './identifiers.ts'
import { DECISIONS_PAGE_MAX } from './limits.ts'

/** Newest first unless `after` is given, which answers what came since, oldest first (`decisions tail`). */
export const decisionsQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(DECISIONS_PAGE_MAX).default(50),
  before: z.uuid().optional(),
  after: z.uuid().optional(),
  // Callers name tools as they like: one with a NUL is found by it (columnText).
  user: z.string().optional(),
  agent: z.string().optional(),
  server: z.string().optional(),
  tool: z.string().optional(),
  verdict: z.enum(['allow', 'deny']).optional(),
  code: z.enum(VERDICT_CODES).optional(),
  /** `false`: without argument values. Showing them to who may see them is recorded as an act. */
  arguments: z.stringbool().optional(),
})
export type DecisionsQuery = z.infer<typeof decisionsQuery>
/** `GET /admin/v1/decisions/:id` */
export const decisionQuery = decisionsQuery.pick({ arguments: true })

/**
 * One decision as people read it. `arguments` is null where there were none (`argumentsLength` 0), where their text is
 * longer than MAPPED_ARGS_BYTES_MAX characters (only its digest is kept), and in a list where it is longer than
 * LISTED_ARGUMENTS_LENGTH_MAX; `outcome` null means unknown.
 */
export const decisionRow = z.strictObject({
  id: z.uuid(),
  at: z.iso.datetime(),
  user: z.string().nullable(),
  agent: z.string(),
  server: z.string(),
  method: z.string(),
  tool: z.string().nullable(),
  arguments: z.unknown(),
  argumentsLength: z.int(),
  /** Whether whoever asks may see argument values: the role `auditor` alone. */
  argumentsShown: z.boolean(),
  verdict: z.enum(['allow', 'deny']),
  code: z.enum(VERDICT_CODES),
  policies: z.array(z.string()),
  /** Policies that failed to evaluate. */
  errors: z.array(z.string()),
  /** What it would be if the shadow policies were enforced; null where none could apply. */
  shadow: z
    .strictObject({
      verdict: z.enum(['allow', 'deny']),
      code: z.enum(VERDICT_CODES),
      policies: z.array(z.string()),
      errors: z.array(z.string()),
    })
    .nullable(),
  bundle: sha256Hex,
  mode: z.enum(['enforced', 'advisory']),
  /** What was released with it; null: nothing was. */
  credential: z.strictObject({ id: z.uuid(), version: z.int() }).nullable(),
  outcome: z
    .strictObject({
      result: z.string(),
      status: z.int(),
      upstreamMs: z.int(),
      isError: z.boolean(),
      bytes: z.int(),
      /** The answer held the credential, which was masked. */
      echoed: z.boolean(),
    })
    .nullable(),
})
export type DecisionRow = z.infer<typeof decisionRow>
