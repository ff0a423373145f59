// Owns making bundles for the tests of this room: a folder of files from a few words. Never used outside tests.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { stringify } from 'yaml'
import type { Risk, ServerFile, ToolDefinition } from '../../../schemas/bundle.ts'
import { definitionSha256 } from '../catalog/fingerprint.ts'
import { toolsLockText } from '../catalog/lock.ts'

export type TestTool = {
  readonly risk?: Risk
  readonly name: string
  readonly inputSchema?: object
}
export type TestServer = {
  readonly file?: Partial<ServerFile>
  readonly tools?: readonly TestTool[]
}

/** The definition of a test tool; without a schema it takes no arguments. */
export function definitionOf({ name, inputSchema }: TestTool): ToolDefinition {
  return { name, inputSchema: { type: 'object', ...inputSchema } }
}

/** Files of a bundle: a `gateway.yaml`, each server with its lock, each policy file. */
export function bundleFiles(
  servers: Readonly<Record<string, TestServer>>,
  policies: Readonly<Record<string, string>>,
): Record<string, string> {
  const files: Record<string, string> = { 'gateway.yaml': 'name: Test\n' }
  for (const [id, { file, tools = [] }] of Object.entries(servers)) {
    const locked = tools.map((tool) => {
      const definition = definitionOf(tool)
      return { risk: tool.risk ?? 'read', sha256: definitionSha256(definition), definition }
    })
    files[`servers/${id}/server.yaml`] = stringify({ url: 'http://127.0.0.1:1/mcp', ...file })
    files[`servers/${id}/tools.lock.json`] = toolsLockText({ version: 1, tools: locked })
  }
  for (const [name, text] of Object.entries(policies)) files[`cedar/${name}.cedar`] = text
  return files
}

/** Calls `use` with a new folder below `parent` that holds `files`, and removes it afterwards. */
export async function withFiles<Result>(
  parent: string,
  files: Readonly<Record<string, string>>,
  use: (directory: string) => Promise<Result>,
): Promise<Result> {
  const directory = await mkdtemp(join(parent, 'bundle-'))
  try {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(directory, name)), { recursive: true })
      await writeFile(join(directory, name), text)
    }
    return await use(directory)
  } finally {
    await rm(directory, { recursive: true })
  }
}
