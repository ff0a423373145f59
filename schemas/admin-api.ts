// Owns the wire of `/admin/v1/*`: what the CLI asks the PDP for and what comes back. `Authorization: Bearer <operator token>`.
import { z } from 'zod'
import { VERDICT_CODES } from './codes.ts'
import { OWN_AGENT, serverId, sha256Hex, subjectId } from './identifiers.ts'
import { DECISIONS_PAGE_MAX, GRANT_LIFETIME_MS_MAX } from './limits.ts'
import { toolState } from './pep-api.ts'

const servers = z.array(serverId).min(1).max(64)

/** A grant lets one agent of one user speak to these servers until it expires. Teams are the user's and are added. */
export const grantRequest = z.strictObject({
  user: subjectId,
  agent: subjectId.refine((id) => id !== OWN_AGENT, {
    error: `the agent id ${OWN_AGENT} is the gateway's own`,
  }),
  servers,
  teams: z.array(subjectId).max(64).default([]),
  expiresInMs: z.int().positive().max(GRANT_LIFETIME_MS_MAX),
})
export type GrantRequest = z.infer<typeof grantRequest>

/** `token` is shown here once; the gateway keeps only its SHA-256. */
export const createdGrant = z.strictObject({
  id: z.uuid(),
  token: z.string(),
  user: z.string(),
  agent: z.string(),
  servers: z.array(z.string()),
  teams: z.array(z.string()),
  expiresAt: z.iso.datetime(),
})
export type CreatedGrant = z.infer<typeof createdGrant>

export const grantRow = z.strictObject({
  id: z.uuid(),
  user: z.string(),
  agent: z.string(),
  servers: z.array(z.string()),
  teams: z.array(z.string()),
  tokenLast4: z.string(),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
  revokedAt: z.iso.datetime().nullable(),
})
export type GrantRow = z.infer<typeof grantRow>

export const pepRequest = z.strictObject({ servers })
export const createdPep = z.strictObject({
  id: z.string(),
  key: z.string(),
  servers: z.array(z.string()),
})
export type CreatedPep = z.infer<typeof createdPep>
export const pepRow = z.strictObject({
  id: z.string(),
  servers: z.array(z.string()),
  createdAt: z.iso.datetime(),
  revokedAt: z.iso.datetime().nullable(),
})
export type PepRow = z.infer<typeof pepRow>

/** Newest first unless `after` is given, which answers what came since, oldest first (`decisions tail`). */
export const decisionsQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(DECISIONS_PAGE_MAX).default(50),
  before: z.uuid().optional(),
  after: z.uuid().optional(),
  user: z.string().optional(),
  agent: z.string().optional(),
  server: z.string().optional(),
  tool: z.string().optional(),
  verdict: z.enum(['allow', 'deny']).optional(),
  code: z.enum(VERDICT_CODES).optional(),
})
export type DecisionsQuery = z.infer<typeof decisionsQuery>

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
  outcome: z
    .strictObject({
      result: z.string(),
      status: z.int(),
      upstreamMs: z.int(),
      isError: z.boolean(),
      bytes: z.int(),
    })
    .nullable(),
})
export type DecisionRow = z.infer<typeof decisionRow>

/** Lines of `GET /admin/v1/ledger/fsck` (NDJSON): progress while it runs, findings as met, one summary at the end. */
export const fsckLine = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('progress'), checked: z.int(), total: z.int() }),
  z.strictObject({
    kind: z.literal('finding'),
    id: z.string(),
    check: z.string(),
    message: z.string(),
  }),
  z.strictObject({ kind: z.literal('summary'), checked: z.int(), findings: z.int() }),
])
export type FsckLine = z.infer<typeof fsckLine>

/** What decides now, and why its source's bundle does not if it is another. Findings are `file:line:column: message`. */
export const bundleState = z.strictObject({
  id: sha256Hex,
  source: z.string(),
  commit: z.string().nullable(),
  activatedAt: z.iso.datetime(),
  confirmedAt: z.iso.datetime(),
  stale: z.boolean(),
  pinned: z.boolean(),
  problem: z
    .strictObject({
      revision: z.string().nullable(),
      message: z.string(),
      findings: z.array(z.string()),
    })
    .nullable(),
})
export type BundleState = z.infer<typeof bundleState>

/** One bundle that was ever active. `bytes`: of its content. `lastActiveAt`: when it was last activated. */
export const bundleRow = z.strictObject({
  id: sha256Hex,
  bytes: z.int(),
  source: z.string().nullable(),
  commit: z.string().nullable(),
  active: z.boolean(),
  pinned: z.boolean(),
  firstActiveAt: z.iso.datetime(),
  lastActiveAt: z.iso.datetime().nullable(),
})
export type BundleRow = z.infer<typeof bundleRow>

export const serverRow = z.strictObject({
  id: z.string(),
  transport: z.enum(['http', 'sse', 'stdio']),
  tools: z.int(),
  source: z.string(),
})
export type ServerRow = z.infer<typeof serverRow>
export const bundleInfo = z.strictObject({
  id: sha256Hex,
  name: z.string(),
  policies: z.int(),
  servers: z.array(serverRow),
})
export type BundleInfo = z.infer<typeof bundleInfo>

export const toolsQuery = z.strictObject({
  held: z.stringbool().optional(),
  server: serverId.optional(),
})
export type ToolsQuery = z.infer<typeof toolsQuery>
/**
 * One tool as the last look at its server saw it; a tool listed in two ways has a row for each. `reviewed`: the
 * fingerprints that are reviewed, latest last. Held is what is not `reviewed`.
 */
export const toolRow = z.strictObject({
  server: z.string(),
  tool: z.string(),
  state: toolState,
  sha256: sha256Hex,
  reviewed: z.array(sha256Hex),
  firstSeen: z.iso.datetime(),
  lastSeen: z.iso.datetime(),
})
export type ToolRow = z.infer<typeof toolRow>

/** A definition that was seen once; `definition` is null where only its fingerprint is kept (DEFINITION_BYTES_MAX). */
export const seenDefinition = z.strictObject({
  sha256: sha256Hex,
  definition: z.unknown(),
  sightings: z.array(
    z.strictObject({
      server: z.string(),
      tool: z.string(),
      firstSeen: z.iso.datetime(),
      lastSeen: z.iso.datetime(),
    }),
  ),
})
export type SeenDefinition = z.infer<typeof seenDefinition>
