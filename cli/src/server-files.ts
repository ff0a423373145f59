// Owns the two files of one server in a bundle, as commands read and write them. Never writes a lock that the gateway
// would not read.
import { readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import { definitionSha256 } from '../../pdp/src/catalog/fingerprint.ts'
import { toolsLockText } from '../../pdp/src/catalog/lock.ts'
import { visible } from '../../pdp/src/catalog/visible.ts'
import { type ServerFile, serverFile, type ToolsLock, toolsLock } from '../../schemas/bundle.ts'
import { EXIT } from '../../schemas/codes.ts'
import { serverId } from '../../schemas/identifiers.ts'
import { BUNDLE_FILE_BYTES_MAX } from '../../schemas/limits.ts'
import { parseStrictJson } from '../../schemas/strict-json.ts'
import { CommandError } from './errors.ts'

/** Ids of the servers of a bundle, sorted. Throws CommandError when it has no `servers`. */
export async function serversOf(bundle: string): Promise<string[]> {
  const entries = await readdir(join(bundle, 'servers'), { withFileTypes: true }).catch(
    (cause: unknown) => {
      throw new CommandError(`${bundle} is no bundle: it has no \`servers\``, {
        hint: 'name the directory of the bundle with --bundle <dir>',
        cause,
      })
    },
  )
  return entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .toSorted()
}

/** Throws CommandError for what is no server id, before any path is made of it. */
export function assertServerId(server: string): void {
  if (serverId.safeParse(server).success) return
  throw new CommandError(`\`${visible(server)}\` is no server id`, {
    hint: 'a server id is the name of a folder in `servers`: a–z, 0–9, `-`, `_`',
  })
}

export async function readServerFile(bundle: string, server: string): Promise<ServerFile> {
  assertServerId(server)
  const path = join(bundle, 'servers', server, 'server.yaml')
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new CommandError(`${path} cannot be read`, {
      hint: 'write a server.yaml first, see policies/README.md',
      cause,
    })
  })
  return checked(serverFile, path, () => parse(text))
}

export function lockPath(bundle: string, server: string): string {
  return join(bundle, 'servers', server, 'tools.lock.json')
}

/** Definitions as they stand in the file. Undefined when there is none; throws CommandError (exit 3) for a bad one. */
export async function readLock(bundle: string, server: string): Promise<ToolsLock | undefined> {
  assertServerId(server)
  const path = lockPath(bundle, server)
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new CommandError(`${path} cannot be read`, { cause })
  })
  return text === undefined ? undefined : lockFrom(text, path)
}

/** As readLock; a lock that is missing is an error that says how to make one. */
export async function readLockOrThrow(bundle: string, server: string): Promise<ToolsLock> {
  const lock = await readLock(bundle, server)
  if (lock !== undefined) return lock
  throw new CommandError(`server ${server} has no tools.lock.json: nothing of it was reviewed`, {
    hint: `make one with \`cedargate tools lock ${server}\``,
  })
}

/**
 * Replaces the file at once. Throws CommandError (exit 3), leaving it as it was, for what the gateway would not read
 * back: a definition that is too deep, a file that is too long.
 */
export async function writeLock(bundle: string, server: string, lock: ToolsLock): Promise<void> {
  const path = lockPath(bundle, server)
  const text = toolsLockText(lock)
  lockFrom(text, path)
  if (Buffer.byteLength(text) > BUNDLE_FILE_BYTES_MAX)
    throw new CommandError(`${path} would be longer than ${BUNDLE_FILE_BYTES_MAX} bytes`, {
      exit: EXIT.invalid,
    })
  await writeFile(`${path}.new`, text)
  await rename(`${path}.new`, path)
}

function lockFrom(text: string, path: string): ToolsLock {
  const parsed = parseStrictJson(text)
  if (!parsed.ok) throw invalid(path, parsed.message)
  checked(toolsLock, path, () => parsed.value)
  const lock = parsed.value as unknown as ToolsLock // as received, not as zod copied it
  for (const { sha256, definition } of lock.tools) {
    if (definitionSha256(definition) !== sha256)
      throw invalid(path, `the sha256 of tool \`${visible(definition.name)}\` does not match`)
  }
  return lock
}

function checked<Schema extends z.ZodType>(
  schema: Schema,
  path: string,
  read: () => unknown,
): z.infer<Schema> {
  try {
    return schema.parse(read())
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause) : String(cause)
    throw invalid(path, why.replaceAll(/\s*\n\s*/g, ' '), cause)
  }
}

function invalid(path: string, why: string, cause?: unknown): CommandError {
  return new CommandError(`${path} is not valid: ${why}`, { exit: EXIT.invalid, cause })
}
