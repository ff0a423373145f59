// Owns running `git`: which arguments, which environment, for how long. Never through a shell, never with our secrets in
// its environment, never a hook, a submodule or a protocol that was not asked for.
import { spawn } from 'node:child_process'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { SourceError } from './source.ts'

export type GitEnvironment = Readonly<Record<string, string | undefined>>
export type GitOptions = {
  /** Directory of the bare repository. */
  readonly repository: string
  readonly env: GitEnvironment
  /** Of GIT_ALLOW_PROTOCOL: `https:ssh`, or `file`. */
  readonly protocols: string
  readonly input?: string
}
export type GitAnswer = {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

/** One command of git may take this long, a fetch over a slow line included. */
const TIMEOUT_MS = 60_000
/** Time to take its locks away. */
const KILL_AFTER_MS = 2_000
/** A bundle's files all together. */
const OUTPUT_BYTES_MAX = 256 * 1024 * 1024

/** What git and the programs it starts may see of ours: how to reach and authenticate to a repository. */
const PASSED = [
  'PATH', 'HOME', 'USER', 'LOGNAME', 'XDG_CONFIG_HOME', 'TMPDIR', 'GNUPGHOME',
  'SSH_AUTH_SOCK', 'GIT_SSH', 'GIT_SSH_COMMAND', 'GIT_ASKPASS', 'SSH_ASKPASS',
  'HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy', 'SSL_CERT_FILE', 'GIT_SSL_CAINFO',
] as const // biome-ignore format: a list

const SETTINGS = [
  '-c', 'core.hooksPath=/dev/null',
  '-c', 'core.fsmonitor=false',
  '-c', 'fetch.recurseSubmodules=false',
  '-c', 'fetch.fsckObjects=true',
  '-c', 'gc.auto=0',
] // biome-ignore format: pairs

/** Runs git to its end. Rejects with SourceError when it cannot be started, takes too long or says too much. */
export function git(args: readonly string[], options: GitOptions): Promise<GitAnswer> {
  const child = spawn('git', [...SETTINGS, '--git-dir', options.repository, ...args], {
    env: environment(options),
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const out: Buffer[] = []
  let size = 0
  let stderr = ''
  let ended: string | undefined
  const end = (why: string): void => {
    ended ??= why
    child.kill('SIGTERM')
    setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS).unref()
  }
  const timer = setTimeout(() => end(`git took longer than ${TIMEOUT_MS / 1000} s`), TIMEOUT_MS)
  child.stdout.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size > OUTPUT_BYTES_MAX) end('the bundle is too large')
    else out.push(chunk)
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr = `${stderr}${chunk.toString()}`.slice(-16_384)
  })
  // git may end without reading all of its input; how it ended says what matters.
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input ?? '')
  return new Promise<GitAnswer>((resolve, reject) => {
    child.on('error', (cause) => reject(new SourceError('git cannot be started', { cause })))
    child.on('close', (code) => {
      if (ended !== undefined) reject(new SourceError(ended))
      else resolve({ code, stdout: Buffer.concat(out), stderr })
    })
  }).finally(() => clearTimeout(timer))
}

/** As `git`, and rejects with SourceError that quotes git when it fails. */
export async function gitOrThrow(args: readonly string[], options: GitOptions): Promise<Buffer> {
  const { code, stdout, stderr } = await git(args, options)
  if (code === 0) return stdout
  throw new SourceError(`git ${args[0]}: ${lastLine(stderr)}`)
}

/** Locks of a git that is gone: nothing of ours runs for longer than a command may take. */
export async function removeStaleLocks(repository: string): Promise<void> {
  const names = await readdir(repository).catch(() => [])
  for (const name of names.filter((one) => one.endsWith('.lock'))) {
    const path = join(repository, name)
    const found = await stat(path).catch(() => undefined)
    const age = found === undefined ? 0 : Date.now() - found.mtimeMs
    if (age > TIMEOUT_MS + KILL_AFTER_MS) await rm(path, { force: true })
  }
}

export function lastLine(stderr: string): string {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '')
  const told = lines.find((line) => /^(fatal|error):/.test(line)) ?? lines.at(-1)
  return withoutCredentials(told?.replace(/^(fatal|error): /, '') ?? 'failed without a word')
}

/** `https://user:token@host` must not reach a log. */
export function withoutCredentials(text: string): string {
  return text.replaceAll(/\/\/[^/@\s]*@/g, '//')
}

function environment({ env, protocols }: GitOptions): NodeJS.ProcessEnv {
  const passed = PASSED.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]]))
  return {
    ...Object.fromEntries(passed),
    GIT_SSH_COMMAND: env['GIT_SSH_COMMAND'] ?? 'ssh -o BatchMode=yes',
    LC_ALL: 'C',
    GIT_ALLOW_PROTOCOL: protocols,
    GIT_TERMINAL_PROMPT: '0',
    GIT_NO_REPLACE_OBJECTS: '1',
  } as NodeJS.ProcessEnv
}
