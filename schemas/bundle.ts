// Owns the files of a policy bundle as a platform team writes them: gateway.yaml, server.yaml, tools.lock.json.
// Unknown keys are errors everywhere: a misspelt setting must not look like a default.
import { z } from 'zod'
import { sha256Hex } from './identifiers.ts'
import { TOOL_NAME_LENGTH_MAX } from './limits.ts'
import type { Upstream } from './pep-api.ts'

/** gateway.yaml */
export const gatewayFile = z.strictObject({
  name: z.string().min(1).max(128).describe('shown to people in refusals and in the CLI'),
  access: z
    .string()
    .max(512)
    .default('ask your platform team')
    .describe('how to get access, added to refusals'),
})
export type GatewayFile = z.infer<typeof gatewayFile>

/**
 * What `derive` computes from an argument before Cedar sees it. `path`: POSIX, resolved against `root`, `..` gone. Of an
 * array, which policies cannot go through, `<argument><suffix>_within` is the set of directories that hold every path.
 */
export const derivation = z.strictObject({
  kind: z.literal('path'),
  /** Top-level arguments that hold a path or an array of paths; a tool that lacks one is unaffected. */
  arguments: z.array(z.string()).min(1),
  /** Absolute directory that relative paths start from; `${NAME}` is expanded as in `url`. */
  root: z.string().min(1),
  /** Suffix of the attribute that policies read: `path` becomes `path_normalised`. */
  suffix: z
    .string()
    .regex(/^[a-z_]{1,32}$/)
    .default('_normalised'),
})
export type Derivation = z.infer<typeof derivation>

/**
 * servers/<id>/server.yaml. Either `url` (Streamable HTTP), or `command` (stdio), or both: a command that serves
 * Streamable HTTP at that url, started by the PEP, where `${PORT}` is a free loopback port.
 * `${NAME}` in url, args, env, cwd and root is expanded by the service that uses it, for PORT, CEDARGATE_HOME and
 * names that begin with CEDARGATE_SERVER_, never for another variable.
 */
export const serverFile = z
  .strictObject({
    url: z.string().optional(),
    command: z.string().optional(),
    args: z.array(z.string()).default([]),
    env: z.record(z.string(), z.string()).default({}),
    cwd: z.string().optional(),
    derive: z.array(derivation).default([]),
  })
  .refine((file) => file.url !== undefined || file.command !== undefined, {
    error: 'set `url`, `command` or both',
  })
  .refine(
    (file) =>
      file.command !== undefined || (file.args.length === 0 && Object.keys(file.env).length === 0),
    {
      error: '`args` and `env` need a `command`',
    },
  )
export type ServerFile = z.infer<typeof serverFile>

export const RISKS = ['read', 'write', 'destructive'] as const
export type Risk = (typeof RISKS)[number]

/** A tool definition exactly as the server gave it; only `name` and `inputSchema` are read, the rest is kept. */
export const toolDefinition = z.looseObject({
  name: z.string().min(1).max(TOOL_NAME_LENGTH_MAX),
  inputSchema: z.looseObject({ type: z.literal('object') }),
})
export type ToolDefinition = z.infer<typeof toolDefinition>

/** servers/<id>/tools.lock.json: what was reviewed. A tool may stand in several variants. */
export const toolsLock = z.strictObject({
  version: z.literal(1),
  tools: z.array(
    z.strictObject({ risk: z.enum(RISKS), sha256: sha256Hex, definition: toolDefinition }),
  ),
})
export type ToolsLock = z.infer<typeof toolsLock>

/** How a PEP reaches the server of a server.yaml; its variables not yet expanded. */
export function upstreamOf(id: string, file: ServerFile): Upstream {
  return {
    id,
    transport: file.url === undefined ? 'stdio' : 'http',
    url: file.url ?? null,
    command: file.command ?? null,
    args: file.args,
    env: file.env,
    cwd: file.cwd ?? null,
  }
}
