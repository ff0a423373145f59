// Owns reading the text files of one folder beside a bundle, for tools that look at nothing else of it.
import { openDirectory } from './directory.ts'
import type { SourceFile } from './files.ts'
import { filesIn } from './files.ts'

/**
 * The files of `folder`, in the order of their names, without README and dot files; none when there is no such folder.
 * Throws BundleError when there is no bundle, and with every file that ends otherwise than `endings` or cannot be read.
 */
export async function readFolder(
  directory: string,
  folder: string,
  endings: readonly string[],
): Promise<SourceFile[]> {
  return filesIn(await openDirectory(directory), folder, endings)
}
