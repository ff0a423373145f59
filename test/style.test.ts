// Owns the style that a machine can check (CONTRIBUTING.md): who may import whom, how long a file may grow, what is
// never written. Each rule is first shown to fail on a planted line, so that no rule can quietly stop working.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'

const LINES_MAX = 400

/** What each room may import at run time. The longest matching prefix wins. `x/` is a folder, `x` a package. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  'schemas/': ['zod', 'schemas/'],
  'schemas/database/': ['drizzle-orm', 'schemas/'],
  'schemas/dial.ts': ['ipaddr.js', 'node:dns', 'node:net', 'schemas/'],
  'schemas/ip-text.ts': ['node:net', 'schemas/'],
  'schemas/unreadable.ts': ['node:http', 'node:stream', 'schemas/'],
  'schemas/database/drizzle.config.ts': ['drizzle-kit'],
  'pdp/src/': ['hono', '@hono/node-server', 'pino', 'prom-client', 'zod', 'node:crypto', 'node:fs', 'node:http', 'node:path', 'schemas/', 'pdp/src/'],
  'pdp/src/authorize/': ['node:crypto', 'schemas/', 'pdp/src/authorize/', 'pdp/src/catalog/secret-cues.ts'],
  'pdp/src/catalog/': ['canonicalize', 'diff', 'node:crypto', 'schemas/', 'pdp/src/catalog/'],
  'pdp/src/credentials/oauth/': ['@modelcontextprotocol/client', 'jose', 'openid-client', 'zod', 'schemas/', 'pdp/src/credentials/oauth/', 'pdp/src/egress/'],
  'pdp/src/decide/': ['node:crypto', 'schemas/', 'pdp/src/authorize/', 'pdp/src/decide/'],
  'pdp/src/credentials/': ['jose', 'zod', 'node:timers', 'schemas/', 'pdp/src/identity/', 'pdp/src/keys/', 'pdp/src/credentials/'],
  'pdp/src/engine/': ['@cedar-policy/cedar-wasm', 'node:assert', 'node:crypto', 'node:fs', 'node:module', 'node:path', 'node:url', 'node:worker_threads', 'schemas/', 'pdp/src/threads/', 'pdp/src/engine/'],
  'pdp/src/activation/': ['pino', 'node:timers', 'schemas/', 'pdp/src/activation/', 'pdp/src/authorize/', 'pdp/src/bundle/'],
  'pdp/src/bundle/': ['canonicalize', 'yaml', 'zod', 'node:crypto', 'node:fs', 'node:path', 'node:worker_threads', 'schemas/', 'pdp/src/authorize/', 'pdp/src/catalog/', 'pdp/src/engine/', 'pdp/src/threads/', 'pdp/src/bundle/'],
  'pdp/src/identity/': ['jose', 'node:crypto', 'zod', 'schemas/', 'pdp/src/bundle/findings.ts', 'pdp/src/bundle/yaml.ts', 'pdp/src/egress/bounded.ts', 'pdp/src/identity/'],
  'pdp/src/egress/': ['undici', 'schemas/', 'pdp/src/egress/'],
  'pdp/src/keys/': ['node:crypto', 'node:fs', 'node:path', 'schemas/', 'pdp/src/store/lock-file.ts', 'pdp/src/keys/'],
  'pdp/src/ledger/': ['node:crypto', 'node:timers', 'schemas/', 'pdp/src/keys/', 'pdp/src/ledger/'],
  'pdp/src/routes/': ['hono', 'node:crypto', 'prom-client', 'rate-limiter-flexible', 'raw-body', 'zod', 'node:http', 'node:timers', 'schemas/', 'pdp/src/credentials/oauth/connect-refused.ts', 'pdp/src/identity/refused.ts', 'pdp/src/routes/'],
  'pdp/src/source/': ['node:child_process', 'node:crypto', 'node:fs', 'node:path', 'node:timers', 'schemas/', 'pdp/src/bundle/', 'pdp/src/source/'],
  'pdp/src/store/': ['drizzle-orm', 'pg', '@electric-sql/pglite', 'node:crypto', 'node:fs', 'node:path', 'node:url', 'node:worker_threads', 'schemas/', 'pdp/src/threads/', 'pdp/src/store/'],
  'pdp/src/policy-tests/': ['zod', 'schemas/', 'pdp/src/authorize/', 'pdp/src/bundle/', 'pdp/src/decide/read-message.ts', 'pdp/src/engine/', 'pdp/src/policy-tests/'],
  'pdp/src/policy-tests/testing.ts': ['node:os', 'pdp/src/bundle/'],
  'pdp/src/threads/': ['node:module', 'node:worker_threads', 'pdp/src/threads/'],
  'pep/src/': ['canonicalize', '@fastify/proxy-addr', 'hono', '@hono/node-server', 'undici', 'pino', 'prom-client', 'rate-limiter-flexible', 'zod', 'node:buffer', 'node:crypto', 'node:http', 'node:net', 'node:stream', 'node:timers', 'schemas/', 'pep/src/'],
  'pep/src/config.ts': ['zod', 'node:fs', 'node:path', 'schemas/', 'pep/src/'],
  'pep/src/testing.ts': ['*', 'schemas/', 'pep/src/'],
  'pep/src/record/': ['pg', 'node:crypto', 'schemas/', 'pep/src/'],
  'pep/src/upstream/': ['undici', '@modelcontextprotocol/client', '@modelcontextprotocol/sdk', 'node:buffer', 'node:child_process', 'node:fs', 'node:net', 'node:path', 'node:stream', 'node:timers', 'node:util', 'schemas/', 'pep/src/'],
  'cli/': ['*', 'schemas/', 'pdp/src/', 'pep/src/', 'cli/'],
  'test/': ['*', 'schemas/', 'pdp/src/', 'pep/src/', 'cli/', 'test/'],
} // biome-ignore format: one room a line

/** Where a type may come from: nothing of it is left at run time, but the arrow between the services still counts. */
const TYPE_SIDES: Readonly<Record<string, readonly string[]>> = {
  'schemas/': ['schemas/'],
  'pdp/': ['schemas/', 'pdp/src/'],
  'pep/': ['schemas/', 'pep/src/'],
  'cli/': ['schemas/', 'pdp/src/', 'pep/src/', 'cli/'],
  'test/': ['schemas/', 'pdp/src/', 'pep/src/', 'cli/', 'test/'],
}

type Ban = { readonly token: RegExp; readonly instead: string; readonly allowed: RegExp }
const NOWHERE = /^$/
const PURE = /^pdp\/src\/(activation|authorize|catalog|decide|identity|ledger|routes)\//
const BANS: readonly Ban[] = [
  { token: /(?<![.\w])import\(/, instead: 'a static import, which the room table can see', allowed: /^(pdp\/src\/engine|cli\/src\/main|cli\/src\/program|cli\/src\/commands)/ },
  { token: /\b(TODO|FIXME|XXX)\b/, instead: 'an issue', allowed: NOWHERE },
  { token: /\b(describe|test|it)\.(only|skip|todo)\b/, instead: 'a test that runs', allowed: NOWHERE },
  { token: /\bconsole\.\w+\(/, instead: 'the logger, or what the caller passed in', allowed: /^(cli|test\/bench|test\/main)|\.test\.ts$/ },
  { token: /\bprocess\.env\b/, instead: 'a field of the room\'s config.ts', allowed: /(^|\/)config\.ts$|^test\// },
  { token: /@ts-(ignore|nocheck|expect-error)|(oxlint|eslint)-disable|biome-ignore (?!format:)/, instead: 'code that the checker accepts', allowed: NOWHERE },
  { token: /\/(work|root|tmp)\//, instead: 'tmpdir(), or a path relative to the checkout', allowed: NOWHERE },
  { token: /\bfrom "|\bimport "/, instead: 'single quotes: the room table reads only those', allowed: NOWHERE },
] // biome-ignore format: one ban a line

/** Where clock, randomness and network are passed in, calling them is the mistake. */
const PURE_BANS: readonly Ban[] = [
  { token: /\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b/, instead: 'the clock that main passes in', allowed: NOWHERE },
  { token: /\bMath\.random\b|\brandom(Bytes|UUID|Int)\b|\bgetRandomValues\b/, instead: 'the randomness that main passes in', allowed: NOWHERE },
  { token: /(?<![.\w])fetch\(/, instead: 'the fetch that main passes in', allowed: NOWHERE },
] // biome-ignore format: one ban a line

/** Everything wrong with one file, in the words of the rule. `file` is relative to the checkout, with `/`. */
function violations(file: string, text: string): string[] {
  const lines = text.split('\n')
  const isTest = file.endsWith('.test.ts')
  const found = isTest ? [] : importViolations(file, text)
  if (lines.length - 1 > LINES_MAX) found.push(`longer than ${LINES_MAX} lines: split it`)
  const opening = isTest ? '// ' : '// Owns '
  if (!lines[0]?.startsWith(opening)) found.push('begins without `// Owns …`: say what it owns')
  const bans = PURE.test(file) && !isTest ? [...BANS, ...PURE_BANS] : BANS
  for (const { token, instead } of bans.filter((ban) => !ban.allowed.test(file)))
    lines.forEach((line, index) => {
      const match = token.exec(line)
      if (match !== null) found.push(`line ${index + 1}: \`${match[0]}\`; instead ${instead}`)
    })
  return found
}

function importViolations(file: string, text: string): string[] {
  const imports = text.matchAll(/^(?:import|export)\s(type\s)?(?:[^'";]*?\sfrom\s)?'([^']+)'/gms)
  return [...imports].flatMap(([, isType, specifier = '']) => {
    const own = specifier.startsWith('.')
    const target = own ? normalize(join(dirname(file), specifier)) : specifier
    const table = own && isType !== undefined ? TYPE_SIDES : ROOMS
    const room = longestPrefix(table, file)
    const permitted = (table[room] ?? []).some((entry) => covers(entry, target, own))
    return permitted ? [] : [`imports ${target}, which ${room || 'this folder'} may not`]
  })
}

function longestPrefix(table: Readonly<Record<string, unknown>>, file: string): string {
  const prefixes = Object.keys(table).filter((prefix) => file.startsWith(prefix))
  return prefixes.toSorted((a, b) => b.length - a.length)[0] ?? ''
}

/** `node:fs` covers `node:fs/promises`; `*` is any package, never a file of ours. */
function covers(entry: string, target: string, own: boolean): boolean {
  if (entry === '*') return !own
  return entry.endsWith('/')
    ? target.startsWith(entry)
    : target === entry || target.startsWith(`${entry}/`)
}

const root = join(import.meta.dirname, '..')
const folders = ['schemas', 'pdp', 'pep', 'cli', 'test']
const files = folders.flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name.replaceAll('\\', '/')}`),
)
const lastPart = (name: string): string => name.split('/').at(-1) ?? ''
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

describe('every rule finds what is planted', () => {
  test.each<{ file: string; line: string; want: RegExp }>([
    { file: 'pep/src/decide.ts', line: "import { createPdp } from '../../pdp/src/compose.ts'", want: /pdp\/src\/compose/ },
    { file: 'pep/src/decide.ts', line: "import type { Pdp } from '../../pdp/src/compose.ts'", want: /pdp\/src\/compose/ },
    { file: 'pep/src/decide.ts', line: "import pg from 'pg'", want: /imports pg/ },
    { file: 'pep/src/decide.ts', line: "import '../../pdp/src/main.ts'", want: /pdp\/src\/main/ },
    { file: 'pep/src/decide.ts', line: "export * from '../../pdp/src/main.ts'", want: /pdp\/src\/main/ },
    { file: 'pdp/src/authorize/a.ts', line: "import {\n  x,\n} from '@cedar-policy/cedar-wasm/web'", want: /cedar-wasm/ },
    { file: 'pdp/src/app.ts', line: "import pg from 'pg'", want: /imports pg/ },
    { file: 'pdp/src/routes/pep.ts', line: "import { x } from '../store/open.ts'", want: /store\/open/ },
    { file: 'schemas/leaf.ts', line: "import { readFile } from 'node:fs/promises'", want: /node:fs/ },
    { file: 'pdp/src/app.ts', line: "import { x } from '../../test/harness/pdp.ts'", want: /test\/harness/ },
    { file: 'pdp/src/app.ts', line: "import { x } from '../../cli/src/main.ts'", want: /cli\/src/ },
    { file: 'pdp/src/ledger/ledger.ts', line: 'const at = Date.now()', want: /the clock/ },
    { file: 'pdp/src/decide/decide.ts', line: 'const id = randomUUID()', want: /the randomness/ },
    { file: 'pdp/src/routes/pep.ts', line: 'await fetch(url)', want: /the fetch/ },
    { file: 'pep/src/list.ts', line: "const x = await import('./x.ts')", want: /import\(/ },
    { file: 'pep/src/list.ts', line: '// FIXME later', want: /an issue/ },
    { file: 'test/a.test.ts', line: "test.only('x', () => {})", want: /a test that runs/ },
    { file: 'pep/src/list.ts', line: 'console.log(1)', want: /the logger/ },
    { file: 'pep/src/list.ts', line: "const x = process.env['X']", want: /config\.ts/ },
    { file: 'pep/src/list.ts', line: '// @ts-ignore', want: /checker/ },
    { file: 'test/a.test.ts', line: "const x = '/work/main'", want: /tmpdir/ },
    { file: 'pep/src/list.ts', line: 'import { x } from "./y.ts"', want: /single quotes/ },
    { file: 'pep/src/list.ts', line: '\n'.repeat(LINES_MAX), want: /longer than/ },
  ])('$file: $line', ({ file, line, want }) => {
    expect(violations(file, '// Owns a thing.\n')).toEqual([])
    expect(violations(file, `// Owns a thing.\n${line}\n`)).toEqual([expect.stringMatching(want)])
    expect(violations(file, `${line}\n`).length).toBe(2)
  }) // biome-ignore format: a table
})

test.each(files.filter((file) => file !== 'test/style.test.ts'))('%s', (file) => {
  expect(violations(file, read(file))).toEqual([])
})

describe('package.json', () => {
  const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>
  const dependencies = Object.keys(manifest['dependencies'] ?? {})
  const all = [...dependencies, ...Object.keys(manifest['devDependencies'] ?? {})]

  test('names every version by the catalog, and the catalog names each exactly', () => {
    const versions = { ...manifest['dependencies'], ...manifest['devDependencies'] }
    expect(Object.entries(versions).filter(([, version]) => version !== 'catalog:')).toEqual([])
    const catalog = read('pnpm-workspace.yaml').split('\ncatalog:\n')[1] ?? ''
    const entries = catalog.split('\n').flatMap((line) => /^ {2}"?([^":]+)"?: (\S+)$/.exec(line)?.slice(1, 3).join(' ') ?? [])
    const exact = / (npm:[@\w/-]+@)?\d+\.\d+\.\d+(-alpha\.\d+)?$/
    expect(entries.filter((entry) => !exact.test(entry))).toEqual([])
    expect(new Set(entries.map((entry) => entry.replace(/ .*/, '')))).toEqual(new Set(all))
  }) // biome-ignore format: long lines

  test('a runtime dependency is imported by what runs, or is a server of the example bundle', () => {
    const sources = files.filter((file) => !file.startsWith('test/') && !file.endsWith('.test.ts'))
    const text = sources.map(read).join('\n')
    const unused = dependencies.filter(
      (name) => !text.includes(` from '${name}'`) && !text.includes(` from '${name}/`),
    )
    expect(unused.filter((name) => !name.startsWith('@modelcontextprotocol/server-'))).toEqual([])
  })

  test('a runtime dependency has its reason in ARCHITECTURE.md', () => {
    const section = read('ARCHITECTURE.md').split('\n## Dependencies\n')[1] ?? ''
    const named = section
      .split('\n')
      .map((line) => line.split('|')[1] ?? '')
      .join(',')
    const words = new Set(named.split(/[,() ]+/).map(lastPart))
    expect(dependencies.filter((name) => !words.has(lastPart(name)))).toEqual([])
  })
})
