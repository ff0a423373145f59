// Owns `npm run pack`: one installable tarball of the `cedargate` command, dist/cedargate-<version>.tgz. Emitted JavaScript,
// because Node strips no types under node_modules; every package stays a dependency of its own, at the catalog's version.
import { execFile } from 'node:child_process'
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'rolldown'
import { parse } from 'yaml'

type Manifest = {
  readonly name: string
  readonly version: string
  readonly description: string
  readonly license: string
  readonly dependencies: Readonly<Record<string, string>>
}
type Workspace = { readonly catalog: Readonly<Record<string, string>> }

const NODE_ENGINE = '>=24'
/** What runs as a file of its own; everything else is reached from these. The names are those the code looks for. */
const ENTRIES = {
  'cli/src/main': 'cli/src/main.ts',
  'pdp/src/engine/cedar-worker': 'pdp/src/engine/cedar-worker.ts',
  'pdp/src/bundle/load-worker': 'pdp/src/bundle/load-worker.ts',
  'pdp/src/store/pglite-worker': 'pdp/src/store/pglite-worker.ts',
}
/** Files that the code opens relative to itself, and what a reader of the package expects. */
const ASSETS = [
  'schemas/database/migrations',
  'pep/src/upstream/preload.mjs',
  'pdp/src/bundle/base.cedar',
  'policies',
  'README.md',
  'CHANGELOG.md',
  'SECURITY.md',
  'LICENSE',
]

const root = join(import.meta.dirname, '..', '..')
const dist = join(root, 'dist')
const staging = join(dist, 'package')

/** The source tree as it is, file for file, so that paths relative to a file hold in the package as in the checkout. */
async function emit(): Promise<void> {
  await build({
    cwd: root,
    input: ENTRIES,
    platform: 'node',
    external: (id) => !id.startsWith('.') && !id.startsWith(root) && !(id in ENTRIES),
    logLevel: 'warn',
    output: {
      dir: staging,
      format: 'esm',
      preserveModules: true,
      preserveModulesRoot: root,
      entryFileNames: '[name].js',
    },
  })
}

async function copyAssets(): Promise<void> {
  for (const asset of ASSETS) {
    await mkdir(dirname(join(staging, asset)), { recursive: true })
    await cp(join(root, asset), join(staging, asset), {
      recursive: true,
      filter: (source) => !/\.test\.|\/migrations\/meta\/.*_snapshot\.json$/.test(source),
    })
  }
  await mkdir(join(staging, 'bin'))
  await cp(join(import.meta.dirname, 'bin.mjs'), join(staging, 'bin', 'cedargate.mjs'))
}

/** The manifest of the package: exact versions, so that what is installed is what was tested. */
function packed(manifest: Manifest, { catalog }: Workspace): object {
  const { name, version, description, license } = manifest
  const dependencies = Object.keys(manifest.dependencies).map((dependency) => {
    const exact = catalog[dependency]
    if (exact === undefined) throw new Error(`${dependency} is not in the catalog`)
    return [dependency, exact]
  })
  return {
    name,
    version,
    description,
    license,
    type: 'module',
    bin: { cedargate: 'bin/cedargate.mjs' },
    engines: { node: NODE_ENGINE },
    dependencies: Object.fromEntries(dependencies),
  }
}

const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Manifest
const workspace = parse(await readFile(join(root, 'pnpm-workspace.yaml'), 'utf8')) as Workspace
await rm(staging, { recursive: true, force: true })
await emit()
await copyAssets()
await writeFile(
  join(staging, 'package.json'),
  `${JSON.stringify(packed(manifest, workspace), null, 2)}\n`,
)
await promisify(execFile)('npm', ['pack', '--pack-destination', dist], { cwd: staging })
await rm(staging, { recursive: true, force: true })
console.log(join('dist', `${manifest.name}-${manifest.version}.tgz`))
