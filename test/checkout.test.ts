// Owns what a newcomer's machine does with a checkout: set-up that can be repeated, raced and interrupted, the command
// from `npx`, and `npm start` that ends with everything it started. Runs on the machine's own Node, whatever it is.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { cpSync, existsSync, lstatSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sleep } from './harness/command.ts'

const INSTALL_TIMEOUT_MS = 240_000
const root = join(import.meta.dirname, '..')
const path = (process.env['PATH'] ?? '')
  .split(delimiter)
  .filter((entry) => !entry.includes('node_modules'))
  .join(delimiter)
const folder = mkdtempSync(join(tmpdir(), 'cedargate-checkout-'))
const checkout = join(folder, 'fresh')
const env = { PATH: path, HOME: process.env['HOME'] }

type Ended = { readonly code: number | null; readonly stderr: string }

const setUp = (): ChildProcess =>
  spawn('node', ['bin/setup.mjs'], { cwd: checkout, env, stdio: ['ignore', 'pipe', 'pipe'] })

function ended(child: ChildProcess): Promise<Ended> {
  let stderr = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  return new Promise((resolve) => {
    child.once('close', (code) => resolve({ code, stderr }))
  })
}

beforeAll(() => {
  for (const name of ['bin', 'package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml'])
    cpSync(join(root, name), join(checkout, name), { recursive: true })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('bin/setup.mjs in a fresh clone', () => {
  test(
    'killed half-way, then run twice at once: both end well, one installs',
    async () => {
      const first = setUp()
      const killed = ended(first)
      await sleep(1_500)
      first.kill('SIGKILL')
      await killed
      expect(existsSync(join(checkout, 'node_modules', '.cedargate-setup'))).toBe(false)

      const both = await Promise.all([ended(setUp()), ended(setUp())])
      expect(both.map(({ code }) => code)).toEqual([0, 0])
      const installs = both.filter(({ stderr }) => stderr.includes('installing with pnpm'))
      expect(installs.length).toBe(1)
      expect(existsSync(join(checkout, '.setup.lock'))).toBe(false)
    },
    INSTALL_TIMEOUT_MS,
  )

  test('brings its own Node, and the command', async () => {
    const binaries = join(checkout, 'node_modules', '.bin')
    const { stdout } = await promisify(execFile)(join(binaries, 'node'), ['--version'])
    expect(stdout).toMatch(/^v24\./)
    expect(lstatSync(join(binaries, 'cedargate')).isSymbolicLink()).toBe(true)
  })

  test('has nothing more to do the next time, and says nothing', async () => {
    expect(await ended(setUp())).toEqual({ code: 0, stderr: '' })
  })

  test('keeps the store of packages out of the checkout', () => {
    const modules = readFileSync(join(checkout, 'node_modules', '.modules.yaml'), 'utf8')
    const store = /"?storeDir"?: "?([^",\n]+)/.exec(modules)?.[1] ?? checkout
    expect(store.startsWith(checkout)).toBe(false)
  })

  test('says what to do when the install fails', async () => {
    cpSync(join(root, 'package.json'), join(folder, 'broken', 'package.json'))
    cpSync(join(root, 'bin'), join(folder, 'broken', 'bin'), { recursive: true })
    for (const name of ['pnpm-lock.yaml', 'pnpm-workspace.yaml'])
      cpSync(join(root, 'biome.json'), join(folder, 'broken', name))
    const { code, stderr } = await ended(
      spawn('node', [join(folder, 'broken', 'bin', 'setup.mjs')], { cwd: folder, env }),
    )
    expect(code).toBe(1)
    expect(stderr).toMatch(/failed: .*pnpm.* ended with exit code/)
    expect(stderr).toContain('run the command again')
  })

  test('a command that is not set up says so', async () => {
    const lonely = join(folder, 'lonely', 'bin', 'cedargate.mjs')
    cpSync(join(root, 'bin', 'cedargate.mjs'), lonely)
    const { code, stderr } = await ended(spawn('node', [lonely], { env }))
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('npm start') })
  })
})

describe('in this checkout', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    version: string
  }

  test.each([
    ['npx', ['cedargate', '--version']],
    ['node', [join(root, 'bin', 'cedargate.mjs'), '--version']],
  ])('`%s` runs the command', async (program, args) => {
    const { stdout } = await promisify(execFile)(program, args, { cwd: root, env })
    expect(stdout).toBe(`${version}\n`)
  })

  test.each<[NodeJS.Signals, 'npm' | 'the process group']>([
    ['SIGTERM', 'npm'],
    ['SIGINT', 'npm'],
    ['SIGINT', 'the process group'],
    ['SIGTERM', 'the process group'],
  ])(
    '`npm start` ends with everything it started: %s to %s',
    async (signal, target) => {
      const home = mkdtempSync(join(folder, 'home-'))
      const ports = { CEDARGATE_PEP_PORT: '0', CEDARGATE_PDP_PORT: '0' }
      const npm = spawn('npm', ['start'], {
        cwd: root,
        env: { ...env, ...ports, CEDARGATE_HOME: home },
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      })
      const group = npm.pid ?? 0
      const result = ended(npm)
      await expect.poll(() => existsSync(join(home, 'dev.json')), { timeout: 60_000 }).toBe(true)
      process.kill(target === 'npm' ? group : -group, signal)
      await result
      await expect.poll(() => isAlive(-group)).toBe(false)
      expect(existsSync(join(home, 'dev.json'))).toBe(false)
    },
    90_000,
  )
})

/** Whether a process (or, negative, any of a group) is left. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
