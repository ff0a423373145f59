// Owns tools.lock.json as a value: made of what a server serves, changed tool by tool, compared with what it was. Pure:
// definitions are passed in as received. A lock says what was reviewed; making one is not reviewing it.
import { RISKS, type Risk, type ToolDefinition, type ToolsLock } from '../../../schemas/bundle.ts'
import { type ClassifyOptions, classify } from './classify.ts'
import { definitionSha256 } from './fingerprint.ts'

export type LockedTool = ToolsLock['tools'][number]
export type LockOptions = ClassifyOptions & {
  /** Keeps every reviewed variant beside what is served now, of tools that are not served too. Default false. */
  readonly addVariants?: boolean
}

/**
 * A lock of `definitions`, by name, each variant once, the newest last. The risk of a reviewed definition stays; a new or
 * changed one gets what the rules say, unless a person had set the tool's risk (see riskOf). Without `addVariants`, what
 * `previous` has and `definitions` lacks is left out.
 */
export function makeToolsLock(
  definitions: readonly ToolDefinition[],
  previous?: ToolsLock,
  options: LockOptions = {},
): ToolsLock {
  const served = definitions.map((definition) => lockedTool(definition, previous, options))
  const kept = options.addVariants === true ? (previous?.tools ?? []) : []
  return lockOf([...kept.filter(({ sha256 }) => !served.some((it) => it.sha256 === sha256)), ...served])
} // biome-ignore format: long lines

export type Approval = ClassifyOptions & {
  /** Keeps the reviewed variants of the tool beside this one. Default: it replaces them. */
  readonly variant?: boolean
  /** Default: as makeToolsLock finds it. */
  readonly risk?: Risk
}

/** `lock` with `definition` as a reviewed one; its neighbours are left as they are. */
export function approveTool(
  lock: ToolsLock,
  definition: ToolDefinition,
  { variant = false, risk, ...options }: Approval = {},
): ToolsLock {
  const found = lockedTool(definition, lock, options)
  const approved = risk === undefined ? found : { ...found, risk }
  const kept = lock.tools.filter(
    (tool) =>
      tool.sha256 !== approved.sha256 && (variant || tool.definition.name !== definition.name),
  )
  return lockOf([...kept, approved])
}

/** `lock` without any variant of the tool. */
export function removeTool(lock: ToolsLock, name: string): ToolsLock {
  return lockOf(lock.tools.filter(({ definition }) => definition.name !== name))
}

export type LockChange = {
  readonly tool: string
  readonly sha256: string
  /** `re-rated`: the same definition with another risk. */
  readonly kind: 'added' | 'dropped' | 're-rated'
}

/** What became of each variant, by name. */
export function lockChanges(before: ToolsLock, after: ToolsLock): LockChange[] {
  const [old, now] = [before, after].map(({ tools }) => new Map(tools.map((it) => [it.sha256, it])))
  const tools = [...before.tools, ...after.tools.filter(({ sha256 }) => old?.has(sha256) !== true)]
  return byName(tools).flatMap(({ sha256, definition: { name: tool } }): LockChange[] => {
    const [was, is] = [old?.get(sha256), now?.get(sha256)]
    if (was === undefined) return [{ tool, sha256, kind: 'added' }]
    if (is === undefined) return [{ tool, sha256, kind: 'dropped' }]
    return was.risk === is.risk ? [] : [{ tool, sha256, kind: 're-rated' }]
  })
}

/** Whether the risk in the lock is not what the rules say of that definition: a person set it, or older rules did. */
export function isOverride({ risk, definition }: LockedTool, options: ClassifyOptions): boolean {
  return classify(definition, options).risk !== risk
}

/** The text of tools.lock.json: two spaces, one line end at the end. */
export function toolsLockText(lock: ToolsLock): string {
  return `${JSON.stringify(lock, null, 2)}\n`
}

function lockedTool(
  definition: ToolDefinition,
  previous: ToolsLock | undefined,
  options: ClassifyOptions,
): LockedTool {
  const sha256 = definitionSha256(definition)
  const same = previous?.tools.find((tool) => tool.sha256 === sha256)
  return { risk: same?.risk ?? riskOf(definition, previous, options), sha256, definition }
}

/**
 * The risk of a definition that was not reviewed: what the rules say; but what a person set for the tool before stays,
 * and is raised when the rules now say worse of it than they said of what that person saw.
 */
function riskOf(
  definition: ToolDefinition,
  previous: ToolsLock | undefined,
  options: ClassifyOptions,
): Risk {
  const { risk } = classify(definition, options)
  const variants = previous?.tools.filter((tool) => tool.definition.name === definition.name) ?? []
  const overrides = variants.filter((tool) => isOverride(tool, options))
  if (overrides.length === 0) return risk
  const set = riskiest(overrides.map((tool) => tool.risk))
  const before = riskiest(overrides.map((tool) => classify(tool.definition, options).risk))
  return RISKS.indexOf(risk) > RISKS.indexOf(before) ? riskiest([set, risk]) : set
}

function riskiest(risks: readonly Risk[]): Risk {
  return RISKS[Math.max(0, ...risks.map((risk) => RISKS.indexOf(risk)))] ?? 'destructive'
}

function lockOf(tools: readonly LockedTool[]): ToolsLock {
  const bySha256 = new Map(tools.map((tool) => [tool.sha256, tool]))
  return { version: 1, tools: byName([...bySha256.values()]) }
}

/** Stable: variants of a tool stay in their order. */
function byName<Tool extends LockedTool>(tools: readonly Tool[]): Tool[] {
  return tools.toSorted((a, b) => compare(a.definition.name, b.definition.name))
}

function compare(left: string, right: string): number {
  return left < right ? -1 : Number(left > right)
}
