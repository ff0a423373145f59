// Owns the scopes of a grant: ceilings on what policy permits, never a permission by themselves. No I/O.
import { z } from 'zod'

/**
 * `mcp:read`: tools of risk `read`, resources, prompts, completions. `mcp:write`: tools that change something;
 * `mcp:destructive` besides for those that destroy. `mcp:ask`: what a server asks of the client in the middle of a call.
 * Connecting needs none.
 */
export const SCOPES = ['mcp:read', 'mcp:write', 'mcp:destructive', 'mcp:ask'] as const
export type Scope = (typeof SCOPES)[number]

/** Sorted, each once. */
export const scopes = z
  .array(z.enum(SCOPES))
  .max(SCOPES.length)
  .transform((given) => [...new Set(given)].toSorted())

/** What user, agent and grant may do at most; a call needs its scope in all three. */
export type Ceilings = {
  readonly user: readonly Scope[]
  readonly agent: readonly Scope[]
  readonly grant: readonly Scope[]
}

/** Where nobody set a ceiling. */
export const NO_CEILINGS: Ceilings = { user: SCOPES, agent: SCOPES, grant: SCOPES }
