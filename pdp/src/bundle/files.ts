// Owns reading the files of a bundle from a directory. Never follows a symbolic link out of it, never reads a file
// above the size limit, and never overlooks a file that looks like a part of the bundle but is none.
import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { serverId } from '../../../schemas/identifiers.ts'
import { BUNDLE_FILE_BYTES_MAX, BUNDLE_SERVERS_MAX } from '../../../schemas/limits.ts'
import type { Finding } from './findings.ts'
import { BundleError, errorAt } from './findings.ts'

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
}

/**
 * Every file of the bundle as text, in the order of their names. Beside `gateway.yaml`, `servers/` and `cedar/` the
 * directory may hold anything (a README, tests); inside those two only what belongs there, a README and dot files.
 * `servers/` and `cedar/` may be missing. Throws BundleError with every file that is wrong.
 */
export async function readBundleFiles(directory: string): Promise<BundleFiles> {
  const reader = await startReader(directory)
  const gateway = await reader.text('gateway.yaml')
  const servers: ServerFiles[] = []
  for (const id of await reader.names('servers')) {
    if (servers.length === BUNDLE_SERVERS_MAX) reader.refuse('servers', 'too many servers')
    const found = await readServer(reader, id)
    if (found !== undefined) servers.push(found)
  }
  const policies: SourceFile[] = []
  for (const name of await reader.names('cedar')) {
    const file = `cedar/${name}`
    if (name.endsWith('.cedar')) policies.push(await reader.text(file))
    else reader.refuse(file, 'only *.cedar files belong here')
  }
  reader.done()
  return { gateway, servers, policies }
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

async function startReader(directory: string): Promise<Reader> {
  const findings: Finding[] = []
  const root = await realpath(directory).catch(() => undefined)
  if (root === undefined) {
    throw new BundleError([errorAt('gateway.yaml', `there is no bundle in \`${directory}\``)])
  }
  const inside = async (file: string): Promise<string> => {
    const real = await realpath(join(root, file))
    if (real === root || real.startsWith(root + sep)) return real
    throw new Error('a symbolic link leads out of the bundle')
  }
  const refuse = (file: string, message: string): undefined => {
    findings.push(errorAt(file, message))
  }
  return {
    refuse,
    async text(file) {
      try {
        return { file, text: await readText(await inside(file)) }
      } catch (error) {
        refuse(file, problem(error))
        return { file, text: '' }
      }
    },
    async names(folder) {
      try {
        const names = await readdir(await inside(folder))
        return names.filter((name) => !/^(\.|README)/.test(name)).toSorted()
      } catch (error) {
        if (problem(error) !== MISSING) refuse(folder, problem(error))
        return []
      }
    },
    done() {
      if (findings.length > 0) throw new BundleError(findings)
    },
  }
}

const MISSING = 'the file is missing'

async function readText(path: string): Promise<string> {
  const { size } = await stat(path)
  if (size > BUNDLE_FILE_BYTES_MAX) {
    throw new Error(`the file is larger than ${BUNDLE_FILE_BYTES_MAX / 1024 / 1024} MiB`)
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path))
}

function problem(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return MISSING
  return code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'the file is not UTF-8' : message
}
