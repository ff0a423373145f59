// Owns what `dev` needs of a bundle beyond policy: the people it makes, and the calls it shows and checks itself by.
import { access, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import { VERDICT_CODES } from '../../../schemas/codes.ts'
import { serverId, subjectId } from '../../../schemas/identifiers.ts'
import { CommandError } from '../errors.ts'

const person = z.strictObject({
  agent: subjectId,
  teams: z.array(subjectId),
  servers: z.array(serverId),
})
const check = z.strictObject({
  /** What the call is to show, as a sentence. */
  shows: z.string(),
  user: subjectId,
  server: serverId,
  tool: z.string(),
  arguments: z.record(z.string(), z.unknown()),
  expect: z.strictObject({
    verdict: z.enum(['allow', 'deny']),
    code: z.enum(VERDICT_CODES),
    policies: z.array(z.string()),
  }),
})
/** dev.yaml, beside gateway.yaml: read by `cedargate dev` only, no part of the bundle. */
const devFile = z.strictObject({
  users: z.record(subjectId, person).default({}),
  /** Files made below `$CEDARGATE_HOME/demo` when they are missing. */
  files: z.record(z.string().regex(/^[a-z0-9][a-z0-9./-]*$/), z.string()).default({}),
  checks: z.array(check).default([]),
})
export type Demo = z.infer<typeof devFile>
export type Check = z.infer<typeof check>
export type Person = z.infer<typeof person>

/** Reads `dev.yaml` of a bundle directory; a bundle without one has no people and no checks. */
export async function readDemo(bundle: string): Promise<Demo> {
  const path = join(bundle, 'dev.yaml')
  const text = await readFile(path, 'utf8').catch(() => '{}')
  const parsed = devFile.safeParse(parse(text) ?? {})
  if (parsed.success) return parsed.data
  throw new CommandError(`${path}: ${z.prettifyError(parsed.error).replaceAll(/\s*\n\s*/g, ' ')}`)
}

/** Makes the demo folder that the example `files` server serves. Never overwrites a file. */
export async function seedDemo(home: string, files: Demo['files']): Promise<void> {
  const root = join(home, 'demo')
  await mkdir(root, { recursive: true })
  for (const [name, text] of Object.entries(files)) {
    const path = join(root, name)
    await mkdir(join(path, '..'), { recursive: true })
    await access(path).catch(() => writeFile(path, text))
  }
}
