// Owns reading one server of a bundle: how to reach it, what of it was reviewed, which arguments are derived.
import type { ServerFile, ToolsLock } from '../../../schemas/bundle.ts'
import { serverFile, toolsLock, upstreamOf } from '../../../schemas/bundle.ts'
import { toolAction } from '../../../schemas/cedar.ts'
import { isExpandable, variablesIn } from '../../../schemas/expand.ts'
import { ITEM_ACTIONS } from '../../../schemas/mcp.ts'
import type { Upstream } from '../../../schemas/pep-api.ts'
import { parseStrictJson } from '../../../schemas/strict-json.ts'
import type { Derived } from '../authorize/derived.ts'
import { definitionSha256 } from '../catalog/fingerprint.ts'
import { readDerivations } from './derivations.ts'
import type { ServerFiles, SourceFile } from './files.ts'
import type { Finding } from './findings.ts'
import { errorAt, placeOf } from './findings.ts'
import { readYaml } from './yaml.ts'

/** `${NAME}` stays as written in `upstream`: the PEP expands it. `derived` has its roots expanded already. */
export type ReviewedServer = {
  readonly id: string
  readonly file: ServerFile
  readonly upstream: Upstream
  readonly derived: readonly Derived[]
  readonly lock: ToolsLock
}

type Environment = Readonly<Record<string, string | undefined>>
type Read = { readonly server?: ReviewedServer; readonly findings: readonly Finding[] }

/** One server, or everything wrong with its two files. `env` is used for the roots of derived paths alone. */
export function readServer(files: ServerFiles, env: Environment): Read {
  const { id } = files
  const read = readYaml(files.server, serverFile)
  const locked = readLock(files.lock, id)
  if (!read.ok) return { findings: [...read.findings, ...locked.findings] }
  const file = read.value
  const { derived, problems: undeclarable } = readDerivations(file.derive, env)
  const problems = [
    ...variableProblems(file),
    ...undeclarable,
    ...unknownTools(
      file,
      locked.lock?.tools.map(({ definition }) => definition.name),
    ),
  ]
  const findings = [...problems.map((it) => errorAt(files.server.file, it)), ...locked.findings]
  if (locked.lock === undefined) return { findings }
  const server = {
    id,
    file,
    upstream: upstreamOf(id, file),
    derived,
    lock: locked.lock,
  }
  return { server, findings }
}

/** A bundle must not make a service read its other variables, even where this service never expands them. */
function variableProblems(file: ServerFile): string[] {
  const { url, cwd, args, env, writable = [] } = file
  const texts = [url, cwd, ...args, ...Object.values(env), ...writable]
  const named = texts.flatMap((text) => variablesIn(text ?? ''))
  return named
    .filter((name) => !isExpandable(name))
    .map(
      (name) => `\`${name}\` may not be used here; use PORT, CEDARGATE_HOME or CEDARGATE_SERVER_…`,
    )
}

/** `locked`: names of the tools in the lock; undefined when it could not be read, and is at fault already. */
function unknownTools({ allowUnknown }: ServerFile, locked: readonly string[] | undefined) {
  return allowUnknown
    .filter((name) => locked !== undefined && !locked.includes(name))
    .map((name) => `allowUnknown: no tool \`${name}\` in the lock of this server`)
}

function readLock(
  { file, text }: SourceFile,
  server: string,
): { readonly lock?: ToolsLock; readonly findings: readonly Finding[] } {
  const parsed = parseStrictJson(text, { reservedKeys: 'accept' })
  if (!parsed.ok) return { findings: [errorAt(file, parsed.message, placeOf(text, parsed.at))] }
  const checked = toolsLock.safeParse(parsed.value)
  if (!checked.success) {
    return {
      findings: checked.error.issues.map(({ path, message }) =>
        errorAt(file, `\`${path.join('.')}\`: ${message}`),
      ),
    }
  }
  const lock = parsed.value as unknown as ToolsLock // as received, not as zod copied it
  const findings = lockProblems(lock, server).map(({ sha256, message }) =>
    errorAt(file, message, placeOf(text, Math.max(text.indexOf(sha256), 0))),
  )
  return { lock, findings }
}

type LockProblem = { readonly sha256: string; readonly message: string }

function lockProblems({ tools }: ToolsLock, server: string): LockProblem[] {
  const seen = new Set<string>()
  return tools.flatMap(({ sha256, definition }) => {
    const problems: string[] = []
    const { name } = definition
    if (definitionSha256(definition) !== sha256) {
      problems.push(`tool \`${name}\` is not what was reviewed: its sha256 does not match`)
    }
    if (seen.has(sha256)) problems.push(`tool \`${name}\` is locked twice in the same variant`)
    seen.add(sha256)
    if (ITEM_ACTIONS.some((action) => action === toolAction(server, name))) {
      problems.push(`tool \`${name}\` of a server \`${server}\` has the name of an MCP method`)
    }
    return problems.map((message) => ({ sha256, message }))
  })
}
