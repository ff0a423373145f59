// Owns the agents' packages: which versions, and a folder outside of the checkout that holds them. Installs nothing into
// the workspace, and runs no install script of theirs.
import { spawn } from 'node:child_process'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { z } from 'zod'

/** Exact: what a newer one shows its model is found out by changing this. */
export const PACKAGES = {
  '@anthropic-ai/claude-code': '2.1.330',
  '@openai/codex': '0.169.0',
} as const

/** Scripts that Node runs; each starts the program that its package brings for this platform. */
export type AgentPrograms = { readonly claudeCode: string; readonly codex: string }

const INSTALL_TIMEOUT_MS = 15 * 60_000
const NPM_FLAGS = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']

/** `XDG_CACHE_HOME` or `~/.cache`, below it a folder of ours. */
export function defaultCache(): string {
  const cache = process.env['XDG_CACHE_HOME'] ?? ''
  return join(cache === '' ? join(homedir(), '.cache') : cache, 'cedargate-agents')
}

/** Installs what is not there yet. Throws Error that says what to do when the packages cannot be had. */
export async function openPackages(
  folder: string,
  say: (line: string) => void,
): Promise<AgentPrograms> {
  if (await isComplete(folder)) say(`packages: already in ${folder}`)
  else await install(folder, say)
  const missing = await missingIn(folder)
  if (missing.length > 0)
    throw new Error(
      `${missing.join(' and ')}: npm installed nothing for ${process.platform}-${process.arch}; ` +
        `delete ${folder} and try again, without \`omit=optional\` in your npm settings`,
    )
  const modules = join(folder, 'node_modules')
  return {
    claudeCode: join(modules, '@anthropic-ai/claude-code/cli-wrapper.cjs'),
    codex: join(modules, '@openai/codex/bin/codex.js'),
  }
}

async function install(folder: string, say: (line: string) => void): Promise<void> {
  const names = Object.entries(PACKAGES).map(([name, version]) => `${name}@${version}`)
  say(`packages: installing ${names.join(' and ')} into ${folder}, about 770 MB`)
  await mkdir(folder, { recursive: true })
  const manifest = { private: true, dependencies: PACKAGES }
  await writeFile(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  const began = performance.now()
  const { code, output } = await npmInstall(folder)
  if (code !== 0)
    throw new Error(
      `npm could not install the agents (exit ${code}):\n${output}\n` +
        'they come from the npm registry: check that `npm ping` answers (behind a proxy: `npm config set proxy`), ' +
        `that 1 GB is free in ${folder} or name another place with --cache, then run this again`,
    )
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  const megabytes = Math.round((await sizeOf(folder)) / 1e6)
  say(`packages: ${megabytes} MB in ${seconds} s`)
}

/** npm on the Node that runs this: on an older one it takes older packages without a word. */
function npmInstall(folder: string): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const path = `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}`
    const child = spawn('npm', ['install', ...NPM_FLAGS], {
      cwd: folder,
      env: { ...process.env, PATH: path },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: INSTALL_TIMEOUT_MS,
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
    child.once('error', (error) => resolve({ code: null, output: error.message }))
    child.once('close', (code) => resolve({ code, output: withoutStack(output).trim() }))
  })
}

function withoutStack(output: string): string {
  return output.replaceAll(/^npm error {5}at .*\n/gm, '')
}

const installed = z.looseObject({ version: z.string() })

async function isComplete(folder: string): Promise<boolean> {
  const found = await Promise.all(
    Object.entries(PACKAGES).map(async ([name, version]) => {
      const text = await readFile(join(folder, 'node_modules', name, 'package.json'), 'utf8').catch(
        () => '{"version":""}',
      )
      return installed.parse(JSON.parse(text)).version === version
    }),
  )
  return found.every(Boolean) && (await missingIn(folder)).length === 0
}

/** Packages without the program for this platform, which is an optional package beside each. */
async function missingIn(folder: string): Promise<string[]> {
  const names = await Promise.all(
    Object.keys(PACKAGES).map(async (name) => {
      const [scope = '', own = ''] = name.split('/')
      const beside = await readdir(join(folder, 'node_modules', scope)).catch(() => [])
      const wanted = `${own}-${process.platform}-${process.arch}`
      return beside.some((entry) => entry.startsWith(wanted)) ? [] : [name]
    }),
  )
  return names.flat()
}

async function sizeOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const sizes = await Promise.all(
    files.map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).size),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}
