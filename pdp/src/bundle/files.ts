// Owns which files make a bundle. Never overlooks a file that looks like a part of it but is none.
import { serverId } from '../../../schemas/identifiers.ts'
import { BUNDLE_BYTES_MAX, BUNDLE_SERVERS_MAX } from '../../../schemas/limits.ts'
import type { Finding } from './findings.ts'
import { BundleError, errorAt } from './findings.ts'
import type { BundleTree } from './tree.ts'

export type SourceFile = { readonly file: string; readonly text: string }
export type ServerFiles = {
  readonly id: string
  readonly server: SourceFile
  readonly lock: SourceFile
}
export type BundleFiles = {
  readonly gateway: SourceFile
  readonly servers: readonly ServerFiles[]
  readonly policies: readonly SourceFile[]
  /** Types of the bundle's own, beside those of MCP. */
  readonly schemas: readonly SourceFile[]
  /** Entities of those types. */
  readonly entities: readonly SourceFile[]
}

/** Folders of the bundle whose files are all of one kind. */
const FOLDERS = {
  cedar: ['.cedar'],
  schema: ['.cedarschema', '.cedarschema.json'],
  entities: ['.json'],
} as const

/**
 * Every file of the bundle as text, in the order of their names. Beside `gateway.yaml` and the folders `servers`,
 * `cedar`, `schema` and `entities` it may hold anything (a README, tests); inside those only what belongs there, a
 * README and dot files. Each folder may be missing. Throws BundleError with every file that is wrong.
 */
export async function readBundleFiles(tree: BundleTree): Promise<BundleFiles> {
  const reader = createReader(tree)
  const gateway = await reader.text('gateway.yaml')
  const servers: ServerFiles[] = []
  for (const id of await reader.names('servers')) {
    if (servers.length === BUNDLE_SERVERS_MAX) reader.refuse('servers', 'too many servers')
    const found = await readServer(reader, id)
    if (found !== undefined) servers.push(found)
  }
  const policies = await readFolder(reader, 'cedar', FOLDERS.cedar)
  const schemas = await readFolder(reader, 'schema', FOLDERS.schema)
  const entities = await readFolder(reader, 'entities', FOLDERS.entities)
  reader.done()
  return { gateway, servers, policies, schemas, entities }
}

/** As readBundleFiles reads its own folders. Throws BundleError. */
export async function filesIn(
  tree: BundleTree,
  folder: string,
  endings: readonly string[],
): Promise<SourceFile[]> {
  const reader = createReader(tree)
  const files = await readFolder(reader, folder, endings)
  reader.done()
  return files
}

async function readFolder(
  reader: Reader,
  folder: string,
  endings: readonly string[],
): Promise<SourceFile[]> {
  const what = endings.map((ending) => `*${ending}`).join(', ')
  const files: SourceFile[] = []
  for (const name of await reader.names(folder)) {
    const file = `${folder}/${name}`
    if (endings.some((ending) => name.endsWith(ending))) files.push(await reader.text(file))
    else reader.refuse(file, `only ${what} files belong here`)
  }
  return files
}

async function readServer(reader: Reader, id: string): Promise<ServerFiles | undefined> {
  const folder = `servers/${id}`
  const spelled = serverId.safeParse(id)
  if (!spelled.success) {
    return reader.refuse(folder, spelled.error.issues[0]?.message ?? 'not a server id')
  }
  for (const name of await reader.names(folder)) {
    if (name === 'server.yaml' || name === 'tools.lock.json') continue
    reader.refuse(`${folder}/${name}`, 'only server.yaml and tools.lock.json belong here')
  }
  const server = await reader.text(`${folder}/server.yaml`)
  return { id, server, lock: await reader.text(`${folder}/tools.lock.json`) }
}

type Reader = {
  /** '' with a finding when the file cannot be read. */
  text(file: string): Promise<SourceFile>
  /** Sorted, without README files and dot files; empty when there is no such folder. */
  names(folder: string): Promise<string[]>
  refuse(file: string, message: string): undefined
  /** Throws when anything was refused. */
  done(): void
}

function createReader(tree: BundleTree): Reader {
  const findings: Finding[] = []
  let left = BUNDLE_BYTES_MAX
  const refuse = (file: string, message: string): undefined => {
    findings.push(errorAt(file, message))
  }
  return {
    refuse,
    async text(file) {
      try {
        const bytes = await tree.read(file)
        left -= bytes.length
        if (left < 0) throw new Error(TOO_LARGE)
        return { file, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
      } catch (error) {
        refuse(file, problem(error))
        return { file, text: '' }
      }
    },
    async names(folder) {
      try {
        const names = await tree.names(folder)
        return names.filter((name) => !/^(\.|README)/.test(name)).toSorted()
      } catch (error) {
        refuse(folder, problem(error))
        return []
      }
    },
    done() {
      if (findings.length > 0) throw new BundleError(findings)
    },
  }
}

const TOO_LARGE = `the bundle is larger than ${BUNDLE_BYTES_MAX / 1024 / 1024} MiB`

function problem(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'the file is not UTF-8' : message
}
