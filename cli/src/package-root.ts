// Owns where the installed package lies: the checkout, or the folder of the packed tarball.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, sep } from 'node:path'

/** URL of the folder with our package.json, ending in `/`. Source and emitted code lie at different depths below it. */
export const packageRoot: URL = findRoot(new URL('.', import.meta.url))

/**
 * Where the commands of the packages we depend on lie, the demo servers' among them: `node_modules/.bin` of the
 * checkout, or of the folder the tarball was installed into.
 */
export const binDirectory: string = findBin()

function findBin(): string {
  const found = createRequire(packageRoot).resolve('hono')
  const modules = found.slice(0, found.indexOf(`${sep}node_modules${sep}`))
  return join(modules, 'node_modules', '.bin')
}

function findRoot(folder: URL): URL {
  if (existsSync(new URL('package.json', folder))) return folder
  const parent = new URL('..', folder)
  if (parent.href === folder.href) throw new Error('package.json of cedargate was not found')
  return findRoot(parent)
}
