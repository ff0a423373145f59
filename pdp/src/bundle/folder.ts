// Owns reading the text files of one folder beside or inside a bundle, for tools that look at nothing else of it.
// Never follows a symbolic link out of the bundle, never reads a file above the size limit.
import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { BUNDLE_FILE_BYTES_MAX } from '../../../schemas/limits.ts'
import type { SourceFile } from './files.ts'
import type { Finding } from './findings.ts'
import { BundleError, errorAt } from './findings.ts'

/**
 * The files of `folder`, in the order of their names, without README and dot files; none when there is no such folder.
 * Throws BundleError when there is no bundle, and with every file that ends otherwise than `endings` or cannot be read.
 */
export async function readFolder(
  directory: string,
  folder: string,
  endings: readonly string[],
): Promise<SourceFile[]> {
  const root = await realpath(directory).catch(() => undefined)
  if (root === undefined) {
    throw new BundleError([errorAt('gateway.yaml', `there is no bundle in \`${directory}\``)])
  }
  const found = await readdir(join(root, folder)).catch(missing)
  const names = found.filter((name) => !/^(\.|README)/.test(name)).toSorted()
  const files: SourceFile[] = []
  const findings: Finding[] = []
  for (const name of names) {
    const file = `${folder}/${name}`
    try {
      if (!endings.some((ending) => name.endsWith(ending))) {
        throw new Error(`only ${endings.map((ending) => `*${ending}`).join(', ')} belong here`)
      }
      files.push({ file, text: await readText(root, file) })
    } catch (error) {
      findings.push(errorAt(file, error instanceof Error ? error.message : String(error)))
    }
  }
  if (findings.length > 0) throw new BundleError(findings)
  return files
}

function missing(error: NodeJS.ErrnoException): string[] {
  if (error.code === 'ENOENT') return []
  throw error
}

async function readText(root: string, file: string): Promise<string> {
  const real = await realpath(join(root, file))
  if (!real.startsWith(root + sep)) throw new Error('a symbolic link leads out of the bundle')
  const { size } = await stat(real)
  if (size > BUNDLE_FILE_BYTES_MAX) {
    throw new Error(`the file is larger than ${BUNDLE_FILE_BYTES_MAX / 1024 / 1024} MiB`)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(real))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? new Error('the file is not UTF-8') : error
  }
}
