// Owns the directory of a `dev` gateway: private, its tokens kept across starts, its facts only while it serves.
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { holdLock, type Lock } from '../../../pdp/src/store/lock-file.ts'
import { CommandError } from '../errors.ts'
import { makePrivateDirectory, writePrivate } from '../make-private.ts'

/** What a running `dev` says of itself to programs, in `dev.json`. */
export type Facts = {
  readonly pepUrl: string
  readonly pdpUrl: string
  readonly operatorToken: string
  readonly servers: readonly string[]
  readonly users: Readonly<Record<string, { readonly token: string }>>
}

/** Secrets of `dev` that outlive it. The services never write a token; this is `dev`'s own file. */
const tokens = z.strictObject({
  operator: z.string(),
  pep: z.string(),
  users: z.record(z.string(), z.string()),
})
export type Tokens = z.infer<typeof tokens>

export type Home = {
  readonly path: string
  readonly readTokens: () => Promise<Tokens | undefined>
  readonly writeTokens: (tokens: Tokens) => Promise<void>
  readonly writeFacts: (facts: Facts) => Promise<void>
  readonly removeFacts: () => Promise<void>
  /** Removes the facts too, and lets another process have the directory. */
  readonly close: () => Promise<void>
}

/**
 * Makes `path` (mode 0700) if missing, takes it for this process alone and clears the facts of an earlier run.
 * Throws CommandError when it cannot be written, or another process has it.
 */
export async function openHome(path: string): Promise<Home> {
  const facts = join(path, 'dev.json')
  const tokensFile = join(path, 'tokens.json')
  await makePrivate(path)
  const lock = await holdHome(path)
  const removeFacts = (): Promise<void> => rm(facts, { force: true })
  await removeFacts()
  return {
    path,
    readTokens: () => readTokens(tokensFile),
    writeTokens: (value) => writePrivate(tokensFile, JSON.stringify(value, null, 2)),
    writeFacts: (value) => writePrivate(facts, `${JSON.stringify(value, null, 2)}\n`),
    removeFacts,
    close: async () => {
      await removeFacts()
      await lock.release()
    },
  }
}

async function makePrivate(path: string): Promise<void> {
  try {
    await makePrivateDirectory(path)
    await writePrivate(join(path, '.writable'), '')
    await rm(join(path, '.writable'))
  } catch (cause) {
    throw new CommandError(`CEDARGATE_HOME ${path} cannot be written: ${reason(cause)}`, {
      hint: 'set CEDARGATE_HOME to a directory you own',
      cause,
    })
  }
}

/** Two gateways on one home would take each other's facts and tokens, whatever database they use. */
async function holdHome(path: string): Promise<Lock> {
  return holdLock(join(path, 'dev.lock')).catch((cause: unknown) => {
    throw new CommandError(`CEDARGATE_HOME ${path} is taken: ${reason(cause)}`, {
      hint: 'or set CEDARGATE_HOME to another directory, and two other ports',
      cause,
    })
  })
}

async function readTokens(path: string): Promise<Tokens | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  try {
    return tokens.parse(JSON.parse(text))
  } catch (cause) {
    throw new CommandError(`${path} is damaged`, { hint: 'delete it; new tokens are made', cause })
  }
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
