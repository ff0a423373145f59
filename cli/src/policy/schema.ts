// Owns `cedargate policy schema`: the generated schema in the syntax that editors read.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startCandidate } from '../../../pdp/src/engine/candidate.ts'
import { contentOf } from '../../../pdp/src/policy-tests/offline.ts'
import { EXIT } from '../../../schemas/codes.ts'
import type { Context } from '../commands/context.ts'
import { CommandError } from '../errors.ts'
import { orInvalid, readBundle } from './bundle.ts'

export type SchemaOptions = { readonly stdout: boolean; readonly check: boolean }

const FILE = 'cedargate.cedarschema'
const HEADER =
  '// Written by `cedargate policy schema` from the reviewed tools: for editors, which check policies by it.\n' +
  '// The gateway does not read this file.\n'

/** Writes the file, prints it, or compares it. Throws CommandError with exit 3 when `check` finds another text. */
export async function writeBundleSchema(
  { config, io }: Pick<Context, 'config' | 'io'>,
  directory: string,
  { stdout, check }: SchemaOptions,
): Promise<void> {
  const { schema } = contentOf(await orInvalid(() => readBundle(directory, config)))
  const written = await schemaText(JSON.stringify(schema))
  const text = `${HEADER}${written.trimEnd()}\n`
  if (stdout) return io.out(text.trimEnd())
  const path = join(directory, FILE)
  if (!check) return writeFile(path, text)
  const found = await readFile(path, 'utf8').catch(() => undefined)
  if (found?.replaceAll('\r\n', '\n') === text) return
  throw new CommandError(`${path} is ${found === undefined ? 'missing' : 'out of date'}`, {
    exit: EXIT.invalid,
    hint: `cedargate policy schema ${directory}`,
  })
}

async function schemaText(schema: string): Promise<string> {
  const candidate = await startCandidate()
  try {
    return await candidate.writeSchema(schema)
  } finally {
    await candidate.close()
  }
}
