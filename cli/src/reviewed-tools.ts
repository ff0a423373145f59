// Owns what `cedargate tools` does: live definitions against reviewed ones, and the lock as people change it. Never
// prints. An approval is bound to the hash that was shown; a server that cannot be read is never clean.
import { type Change, changeOf } from '../../pdp/src/catalog/change.ts'
import { type Classification, classify } from '../../pdp/src/catalog/classify.ts'
import { type DefinitionDiff, diffDefinitions } from '../../pdp/src/catalog/definition-diff.ts'
import {
  approveTool,
  isOverride,
  type LockChange,
  lockChanges,
  makeToolsLock,
  removeTool,
} from '../../pdp/src/catalog/lock.ts'
import { visible } from '../../pdp/src/catalog/visible.ts'
import type { Risk, ServerFile, ToolsLock } from '../../schemas/bundle.ts'
import { EXIT } from '../../schemas/codes.ts'
import type { GivenSecret } from '../../schemas/credentials-api.ts'
import { CommandError } from './errors.ts'
import { type LiveTools, readLiveTools } from './live-tools.ts'
import { lockPath, readLock, readLockOrThrow, readServerFile, writeLock } from './server-files.ts'

type Env = Readonly<Record<string, string | undefined>>
export type Place = {
  readonly bundle: string
  readonly server: string
  readonly env: Env
  /** What the server wants to be read; undefined: nothing. */
  readonly secret: GivenSecret | undefined
}

/** `reviewed`: the live definition is in the lock. `unknown`: the tool is not. `removed`: the server lists it no more. */
export type ToolState = 'reviewed' | 'changed' | 'unknown' | 'removed'
export type ComparedTool = {
  readonly server: string
  readonly tool: string
  readonly state: ToolState
  /** Of the live definition; null when the tool is removed. */
  readonly sha256: string | null
  /** Of every variant in the lock, in its order. */
  readonly reviewed: readonly string[]
  readonly classes: Change['classes']
  readonly cues: Change['cues']
}

/** What `--expect` says of a tool that the server no longer lists. */
export const REMOVED = 'removed'

/** Every tool of the lock and of the live server, by name. Throws CommandError when either cannot be read. */
export async function compareServer(place: Place): Promise<ComparedTool[]> {
  return compareAll(place.server, await readBoth(place)).map(({ compared }) => compared)
}

export type ServerCheck = {
  readonly server: string
  readonly state: 'clean' | 'drift' | 'unchecked'
  /** Why it could not be checked. */
  readonly reason: string | null
  readonly tools: readonly ComparedTool[]
}

/** As compareServer; what cannot be checked is said and does not keep the next server from being checked. */
export async function checkServer(place: Place): Promise<ServerCheck> {
  const { server } = place
  try {
    const tools = await compareServer(place)
    const clean = tools.every(({ state }) => state === 'reviewed')
    return { server, state: clean ? 'clean' : 'drift', reason: null, tools }
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    return { server, state: 'unchecked', reason: error.message, tools: [] }
  }
}

export type ToolDiff = ComparedTool & {
  /** By the rules, of the reviewed definition it was compared with and of the live one. */
  readonly risk: { readonly before: Risk | null; readonly after: Risk | null }
  readonly diff: DefinitionDiff
  /** The live definition, whole: `diff` may be cut. */
  readonly definition: unknown
}

/**
 * The tools whose live definition is not reviewed; only `tool` when it is given, then also where it is reviewed. Throws
 * CommandError when neither the lock nor the server knows that tool.
 */
export async function diffServer(place: Place, tool?: string): Promise<ToolDiff[]> {
  const both = await readBoth(place)
  const found = compareAll(place.server, both)
    .filter(({ compared }) => (tool === undefined ? compared.state !== 'reviewed' : compared.tool === tool))
    .map(({ compared, change }) => toolDiff(compared, change, both))
  if (tool !== undefined && found.length === 0)
    throw new CommandError(`server ${place.server} has no tool \`${visible(tool)}\`, live or reviewed`)
  return found
} // biome-ignore format: long lines

function toolDiff(compared: ComparedTool, change: Change, { file, live }: Both): ToolDiff {
  const { server, tool, state } = compared
  const definition = live.get(tool)?.definition
  const options = { server, trust: file.trust }
  const risk = (it: unknown): Risk | null => (it === undefined ? null : classify(it, options).risk)
  const same = state === 'reviewed' || state === 'removed'
  return {
    ...compared,
    risk: { before: risk(change.reviewed), after: risk(definition) },
    diff: same ? { changes: [], total: 0 } : diffDefinitions(change.reviewed, definition),
    definition: definition ?? null,
  }
}

type Both = { readonly file: ServerFile; readonly lock: ToolsLock; readonly live: LiveTools }

async function readBoth({ bundle, server, env, secret }: Place): Promise<Both> {
  const file = await readServerFile(bundle, server)
  const lock = await readLockOrThrow(bundle, server)
  return { file, lock, live: await readLiveTools(server, file, env, secret) }
}

function compareAll(
  server: string,
  { file, lock, live }: Both,
): { readonly compared: ComparedTool; readonly change: Change }[] {
  const variants = Map.groupBy(lock.tools, ({ definition }) => definition.name)
  const names = [...new Set([...variants.keys(), ...live.keys()])].toSorted()
  return names.map((tool) => {
    const locked = variants.get(tool) ?? []
    const now = live.get(tool)
    const same = locked.find(({ sha256 }) => sha256 === now?.sha256)
    const change =
      same === undefined
        ? changeOf(
            locked.map(({ definition }) => definition),
            now?.definition,
            { server, trust: file.trust, otherTools: names.filter((name) => name !== tool) },
          )
        : { classes: [], cues: [], reviewed: same.definition }
    const compared = {
      server,
      tool,
      state: stateOf(locked.length > 0, now !== undefined, same !== undefined),
      sha256: now?.sha256 ?? null,
      reviewed: locked.map(({ sha256 }) => sha256),
      classes: change.classes,
      cues: change.cues,
    }
    return { compared, change }
  })
}

function stateOf(locked: boolean, live: boolean, same: boolean): ToolState {
  if (same) return 'reviewed'
  if (!live) return 'removed'
  return locked ? 'changed' : 'unknown'
}

export type RatedTool = Classification & {
  readonly server: string
  readonly tool: string
  readonly sha256: string
  /** In the lock: what decides. */
  readonly lockedRisk: Risk
  /** Whether that is not what the rules say: a person set it, or older rules did. */
  readonly override: boolean
}

/** Every variant in the lock, with what the rules say of it. Reads nothing but the bundle. */
export async function classifyServer(bundle: string, server: string): Promise<RatedTool[]> {
  const { trust } = await readServerFile(bundle, server)
  return rated(server, await readLockOrThrow(bundle, server), trust)
}

function rated(server: string, lock: ToolsLock, trust: ServerFile['trust']): RatedTool[] {
  return lock.tools.map((tool) => ({
    server,
    tool: tool.definition.name,
    sha256: tool.sha256,
    lockedRisk: tool.risk,
    override: isOverride(tool, { server, trust }),
    ...classify(tool.definition, { server, trust }),
  }))
}

export type Locked = {
  readonly path: string
  readonly tools: readonly RatedTool[]
  readonly changes: readonly LockChange[]
  /** Listed, but no definition that a lock can hold. */
  readonly leftOut: readonly string[]
}

/** Writes the lock of what the server serves now. Throws CommandError when the server cannot be read. */
export async function lockServer(place: Place, addVariants: boolean): Promise<Locked> {
  const { bundle, server, env, secret } = place
  const file = await readServerFile(bundle, server)
  const previous = await readLock(bundle, server)
  const live = [...(await readLiveTools(server, file, env, secret))]
  const options = { server, trust: file.trust }
  const definitions = live.flatMap(([, { tool }]) => tool ?? [])
  const lock = makeToolsLock(definitions, previous, { ...options, addVariants })
  await writeLock(bundle, server, lock)
  return {
    path: lockPath(bundle, server),
    tools: rated(server, lock, file.trust),
    changes: lockChanges(previous ?? { version: 1, tools: [] }, lock),
    leftOut: live.filter(([, { tool }]) => tool === undefined).map(([name]) => name),
  }
}

export type Approving = {
  readonly tool: string
  /** The hash that was reviewed, or REMOVED. */
  readonly expect: string
  readonly variant: boolean
  readonly risk: Risk | undefined
}

/**
 * Writes one reviewed tool to the lock, or takes a removed one out. Throws CommandError, the lock as it was: exit 5 when
 * the server serves something else than what was reviewed, exit 2 when it cannot be read.
 */
export async function approve(
  place: Place,
  { tool: name, expect, variant, risk }: Approving,
): Promise<{ readonly changes: readonly LockChange[]; readonly risk: Risk | null }> {
  const { file, lock, live } = await readBoth(place)
  const { server, bundle } = place
  const found = live.get(name)
  const now = found?.sha256 ?? REMOVED
  if (now !== expect) throw notAsExpected(server, name, now)
  const options = { server, trust: file.trust, variant, ...(risk === undefined ? {} : { risk }) }
  if (found !== undefined && found.tool === undefined)
    throw new CommandError(`\`${visible(name)}\` is no tool definition that a lock can hold`, { exit: EXIT.invalid })
  const after = found?.tool === undefined ? removeTool(lock, name) : approveTool(lock, found.tool, options)
  const changes = lockChanges(lock, after)
  if (changes.length > 0) await writeLock(bundle, server, after)
  const approved = after.tools.find(({ sha256 }) => sha256 === found?.sha256)
  return { changes, risk: approved?.risk ?? null }
} // biome-ignore format: long lines

function notAsExpected(server: string, tool: string, now: string): CommandError {
  const name = visible(tool)
  const message =
    now === REMOVED
      ? `server ${server} does not list \`${name}\`: nothing was approved`
      : `\`${name}\` is not what was reviewed: its definition is ${now} now, and nothing was approved`
  const hint = `look at it again with \`cedargate tools diff ${server}/${name}\``
  return new CommandError(message, { exit: EXIT.drift, hint })
}
