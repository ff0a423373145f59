// Owns the check that what `npm run pack` makes is the whole command: installed into an empty folder, on nothing but the
// registry and a Node 24, it starts a gateway that passes its own checks. Needs the registry (or npm's cache of it).
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync, readdirSync, realpathSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sleep } from './harness/command.ts'

const INSTALL_TIMEOUT_MS = 300_000
const START_TIMEOUT_MS = 60_000
const root = join(import.meta.dirname, '..')
/** A folder with Node and nothing else: the workspace's own .bin would hide a missing dependency. */
const nodeDirectory = dirname(realpathSync(join(root, 'node_modules', '.bin', 'node')))
const path = [nodeDirectory, ...(process.env['PATH'] ?? '').split(delimiter)]
  .filter((entry) => !entry.startsWith(join(root, 'node_modules', '.bin')))
  .join(delimiter)

/** How this machine reaches the registry. Not all of the environment: `npm test` sets things of its own there. */
const REACH = Object.fromEntries(
  Object.entries(process.env).filter(([name]) =>
    /^(node_extra_ca_certs|ssl_cert_\w+|\w*_proxy|npm_config_(registry|ca|cafile))$/i.test(name),
  ),
)

let folder: string
let env: NodeJS.ProcessEnv

const run = async (program: string, args: readonly string[], more = {}): Promise<string> => {
  const { stdout } = await promisify(execFile)(program, args, {
    cwd: folder,
    env: { ...more, ...env },
  })
  return stdout
}
const installed = (): string => join(folder, 'node_modules', '.bin', 'cedargate')

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cedargate-pack-'))
  env = {
    PATH: path,
    HOME: process.env['HOME'],
    CEDARGATE_HOME: join(folder, 'home'),
    CEDARGATE_PEP_PORT: '0',
    CEDARGATE_PDP_PORT: '0',
  }
  const packed = await run(join(nodeDirectory, 'node'), [join(root, 'cli', 'pack', 'main.ts')])
  const tarball = join(root, packed.trim().split('\n').at(-1) ?? '')
  await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', tarball], REACH)
}, INSTALL_TIMEOUT_MS)

afterAll(() => rm(folder, { recursive: true, force: true }))

test('holds emitted JavaScript, data and documents; no sources, no tests', () => {
  const contents = join(folder, 'node_modules', 'cedargate')
  const files = readdirSync(contents, { recursive: true, encoding: 'utf8' })
  expect(files.filter((file) => /\.ts$|\.test\.|^test\//.test(file))).toEqual([])
  const top = ['bin', 'cli', 'package.json', 'pdp', 'pep', 'policies', 'schemas']
  const documents = ['CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md']
  expect(new Set(readdirSync(contents))).toEqual(new Set([...top, ...documents]))
})

test('knows its version', async () => {
  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    version: string
  }
  expect(await run(installed(), ['--version'])).toBe(`${manifest.version}\n`)
})

test(
  'starts the example gateway, answers the command line, stops',
  async () => {
    const dev = spawn(installed(), ['dev'], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
    try {
      await serves(dev, join(folder, 'home', 'dev.json'))
      const listed = await run(installed(), ['decisions', 'ls', '--format', 'json'])
      const rows = JSON.parse(listed) as { tool: string | null; verdict: string }[]
      const calls = rows.filter(({ tool }) => tool !== null).map(({ verdict }) => verdict)
      expect(calls.toSorted((a, b) => (a < b ? -1 : 1))).toEqual(['allow', 'deny', 'deny'])
    } finally {
      dev.kill('SIGTERM')
    }
    expect(await exitCode(dev)).toBe(0)
    expect(existsSync(join(folder, 'home', 'dev.json'))).toBe(false)
  },
  START_TIMEOUT_MS * 2,
)

async function serves(dev: ChildProcess, facts: string): Promise<void> {
  let printed = ''
  for (const stream of [dev.stdout, dev.stderr])
    stream?.on('data', (chunk: Buffer) => {
      printed += chunk.toString()
    })
  const deadline = performance.now() + START_TIMEOUT_MS
  while (!existsSync(facts)) {
    if (dev.exitCode !== null || performance.now() > deadline)
      throw new Error(`the installed gateway did not start:\n${printed}`)
    await sleep(100)
  }
}

function exitCode(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null) return Promise.resolve(child.exitCode)
  return new Promise((resolve) => {
    child.once('exit', resolve)
  })
}
