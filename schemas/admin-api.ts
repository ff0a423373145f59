// Owns the wire of `/admin/v1/*`: what the CLI asks the PDP for and what comes back. `Authorization: Bearer <operator token>`.
import { z } from 'zod'
import { claimName, issuerName, OWN_AGENT, serverId, sha256Hex, subjectId } from './identifiers.ts'
import { GRANT_LIFETIME_MS_MAX, ROWS_PAGE_MAX, TOKEN_LENGTH_MAX } from './limits.ts'
import { toolState } from './pep-api.ts'
import { OPERATOR_ROLES } from './roles.ts'
import { SCOPES, scopes } from './scopes.ts'
import { storedText } from './stored-text.ts'

const servers = z.array(serverId).min(1).max(64)

const teams = z.array(subjectId).max(64)
const agentId = subjectId.refine((id) => id !== OWN_AGENT, {
  error: `the agent id ${OWN_AGENT} is the gateway's own`,
})
/**
 * A grant lets one agent of one user (null: of nobody, a headless agent) speak to these servers until it expires, within
 * these scopes. User and agent are made if missing; teams are the user's and are added.
 */
export const grantRequest = z
  .strictObject({
    user: subjectId.nullable(),
    agent: agentId,
    servers,
    teams: teams.default([]),
    scopes: scopes.default([...SCOPES].toSorted()),
    expiresInMs: z.int().positive().max(GRANT_LIFETIME_MS_MAX),
  })
  .refine(({ user, teams: asked }) => user !== null || asked.length === 0, {
    error: 'teams are for a user',
  })
export type GrantRequest = z.input<typeof grantRequest>

/**
 * `POST /admin/v1/client-grants`, answered by a grantRow: a grant without a token, for which the access tokens stand that
 * `client` gets for this user at `issuer`. Both are in gateway.yaml, which says agent, servers and scopes; the user is
 * linked to that issuer. Also ends what a revocation of such a grant forbade.
 */
export const clientGrantRequest = z.strictObject({
  user: subjectId,
  issuer: issuerName,
  client: claimName,
  expiresInMs: z.int().positive().max(GRANT_LIFETIME_MS_MAX),
})
export type ClientGrantRequest = z.infer<typeof clientGrantRequest>

/** `token` is shown here once; the gateway keeps only its SHA-256. */
export const createdGrant = z.strictObject({
  id: z.uuid(),
  token: z.string(),
  user: z.string().nullable(),
  agent: z.string(),
  servers: z.array(z.string()),
  teams: z.array(z.string()),
  scopes: z.array(z.string()),
  expiresAt: z.iso.datetime(),
})
export type CreatedGrant = z.infer<typeof createdGrant>

/**
 * Why a grant is good for nothing now; `active`: it is good. The first that holds, in this order. `revoked` is also that of
 * a client whose user is not linked any more as when it was made.
 */
export const GRANT_STATES = [
  'revoked',
  'offboarded',
  'agent_disabled',
  'expired',
  'active',
] as const

export const grantRow = z.strictObject({
  id: z.uuid(),
  user: z.string().nullable(),
  agent: z.string(),
  servers: z.array(z.string()),
  /** All teams of the user. */
  teams: z.array(z.string()),
  scopes: z.array(z.string()),
  tokenLast4: z.string().nullable(),
  client: z
    .strictObject({ issuer: z.string(), subject: z.string(), client: z.string() })
    .nullable(),
  state: z.enum(GRANT_STATES),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
  revokedAt: z.iso.datetime().nullable(),
  /** A minute coarse; and the address it came from. */
  lastUsedAt: z.iso.datetime().nullable(),
  lastSource: z.string().nullable(),
})
export type GrantRow = z.infer<typeof grantRow>

/** Newest first; `before` is the id of the last one of the page before. */
export const grantsQuery = z.strictObject({
  user: storedText.optional(),
  agent: storedText.optional(),
  server: storedText.optional(),
  state: z.enum(GRANT_STATES).optional(),
  limit: z.coerce.number().int().min(1).max(ROWS_PAGE_MAX).default(200),
  before: z.uuid().optional(),
})
export type GrantsQuery = z.infer<typeof grantsQuery>

/** What `DELETE /admin/v1/grants/:id` answers. */
export const revokedGrant = z.strictObject({ id: z.uuid(), revokedAt: z.iso.datetime() })

/**
 * `PUT /admin/v1/users/:id`: makes the user, or changes what is named here. `link` says who they are at an identity
 * provider; it is set once, and naming the one that claims made vouches for it. `DELETE /admin/v1/users/:id/link` ends it.
 */
export const userRequest = z.strictObject({
  teams: teams.optional(),
  scopes: scopes.optional(),
  link: z.strictObject({ issuer: issuerName, subject: claimName }).optional(),
})
export type UserRequest = z.infer<typeof userRequest>

export const userRow = z.strictObject({
  id: z.string(),
  /** Given by operators, and by the identity provider. */
  teams: z.array(z.string()),
  claimTeams: z.array(z.string()),
  scopes: z.array(z.string()),
  roles: z.array(z.string()),
  /** `vouched`: an operator named it; else claims made it, and the user is given nothing more. */
  link: z
    .strictObject({ issuer: z.string(), subject: z.string(), vouched: z.boolean() })
    .nullable(),
  /** Grants of theirs that are active, and login sessions. */
  grants: z.int(),
  sessions: z.int(),
  createdAt: z.iso.datetime(),
  offboardedAt: z.iso.datetime().nullable(),
})
export type UserRow = z.infer<typeof userRow>
/** By id; `after` is the last one of the page before. */
export const usersQuery = z.strictObject({
  team: storedText.optional(),
  limit: z.coerce.number().int().min(1).max(ROWS_PAGE_MAX).default(200),
  after: storedText.optional(),
})
export type UsersQuery = z.infer<typeof usersQuery>

/** `POST /admin/v1/users/:id/offboard`: what ended with it. Again: the same user, nothing more to end. */
export const offboarded = z.strictObject({
  user: z.string(),
  offboardedAt: z.iso.datetime(),
  grants: z.array(z.uuid()),
  sessions: z.int(),
})
export type Offboarded = z.infer<typeof offboarded>

/** `PUT /admin/v1/users/:id/roles`, answered by a userRow. */
export const rolesRequest = z.strictObject({ roles: z.array(z.enum(OPERATOR_ROLES)).max(16) })

/** `PUT /admin/v1/agents/:id`: makes the agent, or changes what is named here. */
export const agentRequest = z.strictObject({
  scopes: scopes.optional(),
  disabled: z.boolean().optional(),
})
export type AgentRequest = z.infer<typeof agentRequest>
export const agentRow = z.strictObject({
  id: z.string(),
  scopes: z.array(z.string()),
  grants: z.int(),
  createdAt: z.iso.datetime(),
  disabledAt: z.iso.datetime().nullable(),
})
export type AgentRow = z.infer<typeof agentRow>

/** `GET /admin/v1/login`, for anyone: where operators sign in. 404 where there is no login file. */
export const loginInfo = z.strictObject({
  issuer: z.string(),
  clientId: z.string(),
  scope: z.string(),
})
export type LoginInfo = z.infer<typeof loginInfo>
/** `POST /admin/v1/sessions`, for anyone who has an ID token; each is good once, and ID_TOKEN_AGE_MS_MAX. */
export const loginRequest = z.strictObject({ idToken: z.string().max(TOKEN_LENGTH_MAX) })
/** `POST /admin/v1/bootstrap`: makes this user the first admin. */
export const bootstrapRequest = z.strictObject({
  token: z.string().max(128),
  user: subjectId,
})
/** A login session. `token` is shown here once. */
export const createdSession = z.strictObject({
  token: z.string(),
  user: z.string(),
  roles: z.array(z.enum(OPERATOR_ROLES)),
  expiresAt: z.iso.datetime(),
})
export type CreatedSession = z.infer<typeof createdSession>
/** `GET /admin/v1/whoami`. `DELETE /admin/v1/sessions/current` signs out. */
export const whoami = z.strictObject({
  user: z.string(),
  roles: z.array(z.enum(OPERATOR_ROLES)),
  expiresAt: z.iso.datetime().nullable(),
})

/** `GET /admin/v1/acts?limit=&before=`: what operators did, newest first. `status` null: nobody knows how it ended. */
export const actRow = z.strictObject({
  id: z.uuid(),
  at: z.iso.datetime(),
  act: z.string(),
  by: z.string(),
  what: z.unknown(),
  status: z.int().nullable(),
})
export type ActRow = z.infer<typeof actRow>
export const actsQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(ROWS_PAGE_MAX).default(50),
  before: z.uuid().optional(),
  by: storedText.optional(),
  act: storedText.optional(),
})
export type ActsQuery = z.infer<typeof actsQuery>

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
