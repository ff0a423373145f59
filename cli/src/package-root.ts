// Owns where the installed package lies: the checkout, or the folder of the packed tarball.
import { existsSync } from 'node:fs'

/** URL of the folder with our package.json, ending in `/`. Source and emitted code lie at different depths below it. */
export const packageRoot: URL = findRoot(new URL('.', import.meta.url))

function findRoot(folder: URL): URL {
  if (existsSync(new URL('package.json', folder))) return folder
  const parent = new URL('..', folder)
  if (parent.href === folder.href) throw new Error('package.json of cedargate was not found')
  return findRoot(parent)
}
