// Owns fresh PGlite directories for tests. Making one from nothing takes seconds, copying one a
// third of a second: so one migrated directory per set of migrations is kept in
// node_modules/.cache, and every test gets a copy.
import { createHash } from 'node:crypto'
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MIGRATIONS_DIRECTORY } from '../../pdp/src/store/migrate.ts'
import { openPglite } from '../../pdp/src/store/open.ts'

const CACHE = fileURLToPath(new URL('../../node_modules/.cache/cedargate', import.meta.url))
const PGLITE = fileURLToPath(
  new URL('../../node_modules/@electric-sql/pglite/package.json', import.meta.url),
)

/**
 * A directory for openPglite that is migrated and empty; whoever asked removes `home`, which holds
 * it.
 */
export async function freshPglite(): Promise<{ home: string; directory: string }> {
  const home = await mkdtemp(join(tmpdir(), 'cedargate-pglite-'))
  const directory = join(home, 'pglite')
  await copyPglite(directory)
  return { home, directory }
}

/** Makes `directory`, which must not be there, a migrated and empty database for openPglite. */
export async function copyPglite(directory: string): Promise<void> {
  await cp(await template(), directory, { recursive: true })
}

async function template(): Promise<string> {
  const path = join(CACHE, `pglite-${await fingerprint()}`)
  if (await exists(path)) return path
  await mkdir(CACHE, { recursive: true })
  const building = await mkdtemp(join(CACHE, 'building-'))
  const directory = join(building, 'pglite')
  const store = await openPglite(directory)
  await store.migrate()
  await store.close()
  // Several test files may build it at once; the first to finish wins, and the others use that one.
  await rename(directory, path).catch(async (error: unknown) => {
    if (!(await exists(path))) throw error
  })
  await rm(building, { recursive: true })
  return path
}

async function fingerprint(): Promise<string> {
  const hash = createHash('sha256').update(await readFile(PGLITE))
  for (const name of (await readdir(MIGRATIONS_DIRECTORY)).toSorted()) {
    if (name.endsWith('.sql')) hash.update(await readFile(join(MIGRATIONS_DIRECTORY, name)))
  }
  return hash.digest('hex').slice(0, 16)
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
