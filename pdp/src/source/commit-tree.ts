// Owns reading a bundle out of a git commit, without checking it out: plain files only.
import { BUNDLE_FILE_BYTES_MAX } from '../../../schemas/limits.ts'
import type { BundleTree } from '../bundle/tree.ts'
import { FileTooLarge, MissingFile } from '../bundle/tree.ts'
import type { GitOptions } from './git.ts'
import { gitOrThrow } from './git.ts'
import { SourceError } from './source.ts'

type Entry = { readonly mode: string; readonly object: string; readonly size: number }

/** Files of the whole commit that are looked at, at most. */
const ENTRIES_MAX = 20_000
const PARTS = /^(?:gateway\.yaml$|(?:servers|cedar|schema|entities)\/)/

/** `folder` is where the bundle lies in the repository; '' for its root. */
export async function openCommit(
  commit: string,
  folder: string,
  options: GitOptions,
): Promise<BundleTree> {
  const listed = await gitOrThrow(['ls-tree', '-r', '-z', '-l', '--full-tree', commit], options)
  const entries = readEntries(listed.toString('utf8'), folder === '' ? '' : `${folder}/`)
  const files = [...entries].filter(
    ([path, entry]) => PARTS.test(path) && problemOf(entry) === undefined,
  )
  const contents = await readObjects([...new Set(files.map(([, { object }]) => object))], options)
  return {
    async read(path) {
      const entry = entries.get(path)
      if (entry === undefined) throw new MissingFile()
      const problem = problemOf(entry)
      if (problem !== undefined) throw problem
      return contents.get(entry.object) ?? new Uint8Array()
    },
    async names(within) {
      const file = entries.get(within)
      if (file !== undefined) throw problemOf(file) ?? new Error('a file where a folder belongs')
      const inside = [...entries.keys()].filter((path) => path.startsWith(`${within}/`))
      return [...new Set(inside.map((path) => path.slice(within.length + 1).split('/')[0] ?? ''))]
    },
  }
}

function readEntries(listed: string, prefix: string): ReadonlyMap<string, Entry> {
  const entries = new Map<string, Entry>()
  for (const line of listed.split('\0')) {
    const match = /^(\d{6}) \w+ ([0-9a-f]+) +(\d+|-)\t(.*)$/s.exec(line)
    if (match === null) continue
    const [, mode = '', object = '', size = '', path = ''] = match
    if (!path.startsWith(prefix)) continue
    if (entries.size === ENTRIES_MAX) throw new SourceError(`more than ${ENTRIES_MAX} files`)
    entries.set(path.slice(prefix.length), { mode, object, size: Number(size) || 0 })
  }
  return entries
}

function problemOf({ mode, size }: Entry): Error | undefined {
  if (mode === '120000') return new Error('a symbolic link: a bundle in git holds plain files only')
  if (mode === '160000') return new Error('a submodule: a bundle in git holds plain files only')
  return size > BUNDLE_FILE_BYTES_MAX ? new FileTooLarge(BUNDLE_FILE_BYTES_MAX) : undefined
}

/** `<object> blob <size>\n<bytes>\n` for each, in the order asked. */
async function readObjects(
  objects: readonly string[],
  options: GitOptions,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const input = objects.map((object) => `${object}\n`).join('')
  const output = await gitOrThrow(['cat-file', '--batch'], { ...options, input })
  const contents = new Map<string, Uint8Array>()
  let at = 0
  for (const object of objects) {
    const end = output.indexOf(0x0a, at)
    const size = /^[0-9a-f]+ blob (\d+)$/.exec(output.toString('latin1', at, end))?.[1]
    if (size === undefined) throw new SourceError(`git cannot read ${object}`)
    contents.set(object, output.subarray(end + 1, end + 1 + Number(size)))
    at = end + 1 + Number(size) + 1
  }
  return contents
}
