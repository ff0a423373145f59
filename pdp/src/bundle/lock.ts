// Owns the fingerprint of a tool definition, and making a tools.lock.json of what a server serves. Pure: definitions
// are passed in as received. A lock says what was reviewed; making one is not reviewing it.
import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import type { Risk, ToolDefinition, ToolsLock } from '../../../schemas/bundle.ts'

/** Lower-case hex SHA-256 of the RFC 8785 form of the whole definition. Throws when it is no plain JSON. */
export function definitionSha256(definition: unknown): string {
  const text = canonicalize(definition)
  if (text === undefined) throw new TypeError('a definition must be JSON')
  return createHash('sha256').update(text).digest('hex')
}

/**
 * A lock of `definitions`, by name. A definition that `previous` has with the same fingerprint keeps its reviewed
 * risk; another gets the risk its own annotations claim, for a reviewer to correct. Variants that `previous` has and
 * the server no longer serves are left out.
 */
export function makeToolsLock(
  definitions: readonly ToolDefinition[],
  previous?: ToolsLock,
): ToolsLock {
  const reviewed = new Map(previous?.tools.map(({ sha256, risk }) => [sha256, risk]))
  const tools = definitions.map((definition) => {
    const sha256 = definitionSha256(definition)
    return { risk: reviewed.get(sha256) ?? claimedRisk(definition), sha256, definition }
  })
  return {
    version: 1,
    tools: tools.toSorted((a, b) => compare(a.definition.name, b.definition.name)),
  }
}

/** The text of tools.lock.json: two spaces, one line end at the end. */
export function toolsLockText(lock: ToolsLock): string {
  return `${JSON.stringify(lock, null, 2)}\n`
}

/** Annotations are the server's own word: `readOnlyHint` and `destructiveHint: false` are taken, silence is not. */
function claimedRisk({ annotations }: ToolDefinition): Risk {
  const claims = typeof annotations === 'object' && annotations !== null ? annotations : {}
  const { readOnlyHint, destructiveHint } = claims as Record<string, unknown>
  if (readOnlyHint === true) return 'read'
  return destructiveHint === false ? 'write' : 'destructive'
}

function compare(left: string, right: string): number {
  return left < right ? -1 : Number(left > right)
}
