// Owns the PEP's settings: the one file of pep/ that reads the environment.
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { isolationSetting, portSetting, unknownSettings } from '../../schemas/settings.ts'
import { createSourceOf, type SourceOf } from './inbound/source.ts'
import { type PdpAddress, readPdpAddress } from './pdp-http.ts'
import type { Kept } from './upstream/bubblewrap.ts'

type Env = Readonly<Record<string, string | undefined>>

const list = z
  .string()
  .default('')
  .transform(
    (text) =>
      new Set(
        text
          .split(',')
          .map((item) => item.trim().toLowerCase())
          .filter(Boolean),
      ),
  )

/** Every setting of `cedargate pep`. */
const settings = z.object({
  /** Where the PDP is: https URL, http URL on loopback, or the path of its Unix socket. */
  CEDARGATE_PDP: z.string().min(1, 'is required: a URL, or the path of a Unix socket'),
  /** The key of this PEP, printed once by `cedargate peps enroll`; or a file that holds it. */
  CEDARGATE_PEP_KEY: z.string().optional(),
  CEDARGATE_PEP_KEY_FILE: z.string().optional(),
  /** PostgreSQL; the user must be a member of the role `cedargate_pep`. */
  DATABASE_URL: z.string().min(1, 'is required, e.g. postgres://user:password@host/database'),
  /** Address to listen on. Anything but loopback needs TLS in front and CEDARGATE_ALLOWED_HOSTS. */
  CEDARGATE_PEP_HOST: z.string().min(1).default('127.0.0.1'),
  CEDARGATE_PEP_PORT: portSetting.default(8787),
  /**
   * Host names clients use, beside loopback, comma-separated: `mcp.example` or `mcp.example:8443`.
   */
  CEDARGATE_ALLOWED_HOSTS: list,
  /** Origins of web pages that may call, comma-separated, beside the PEP's own loopback origins. */
  CEDARGATE_ALLOWED_ORIGINS: list,
  /**
   * Proxies in front whose `X-Forwarded-For` says where a request comes from, comma-separated: addresses, CIDR ranges,
   * `loopback` or `uniquelocal`. Without it the peer of the socket is the source.
   */
  CEDARGATE_TRUSTED_PROXIES: list,
  /** What keeps the servers this PEP starts from what is the gateway's. */
  CEDARGATE_ISOLATION: isolationSetting,
  CEDARGATE_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
})

export type PepConfig = {
  readonly pdp: PdpAddress
  readonly pepKey: string
  readonly databaseUrl: string
  readonly host: string
  readonly port: number
  readonly allowedHosts: ReadonlySet<string>
  readonly allowedOrigins: ReadonlySet<string>
  readonly sourceOf: SourceOf
  readonly isolation: string
  /** Hidden from the servers this PEP starts. */
  readonly kept: Kept
  readonly logLevel: string
  readonly env: Env
}

/**
 * A setting that is missing, misspelt or out of range; the message names it and says what it takes.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/**
 * Reads the environment once. Throws ConfigError with one line that names every setting at fault.
 */
export function readPepConfig(env: Env = process.env): PepConfig {
  const unknown = unknownSettings(env)
  if (unknown.length > 0) throw new ConfigError(`unknown setting ${unknown.join(', ')}`)
  const parsed = settings.safeParse(env)
  if (!parsed.success) throw new ConfigError(parsed.error.issues.map(describe).join('; '))
  const read = parsed.data
  return {
    pdp: orConfigError(() => readPdpAddress(read.CEDARGATE_PDP)),
    pepKey: readKey(read.CEDARGATE_PEP_KEY, read.CEDARGATE_PEP_KEY_FILE),
    databaseUrl: read.DATABASE_URL,
    host: read.CEDARGATE_PEP_HOST,
    port: read.CEDARGATE_PEP_PORT,
    allowedHosts: read.CEDARGATE_ALLOWED_HOSTS,
    allowedOrigins: read.CEDARGATE_ALLOWED_ORIGINS,
    sourceOf: orConfigError(
      () => createSourceOf([...read.CEDARGATE_TRUSTED_PROXIES]),
      'CEDARGATE_TRUSTED_PROXIES',
    ),
    isolation: read.CEDARGATE_ISOLATION,
    kept: keptOf(env),
    logLevel: read.CEDARGATE_LOG_LEVEL,
    env,
  }
}

/** What the gateway has in its home, which it may share with its servers' own files, and the key. */
export function keptOf(env: Env): Kept {
  const home = resolve(env['CEDARGATE_HOME'] ?? '.cedargate')
  const own = ['keys', 'database', 'tokens.json', 'dev.json'].map((name) => join(home, name))
  const key = env['CEDARGATE_PEP_KEY_FILE']
  return { home, secrets: key === undefined ? own : [...own, resolve(key)] }
}

function readKey(key: string | undefined, file: string | undefined): string {
  if (key !== undefined && file !== undefined) {
    throw new ConfigError('set CEDARGATE_PEP_KEY or CEDARGATE_PEP_KEY_FILE, not both')
  }
  const text =
    file === undefined
      ? key
      : orConfigError(() => readFileSync(file, 'utf8'), 'CEDARGATE_PEP_KEY_FILE')
  if (text?.trim()) return text.trim()
  throw new ConfigError(
    'CEDARGATE_PEP_KEY is not set: `cedargate peps enroll --server <id>` prints one',
  )
}

function orConfigError<T>(read: () => T, setting?: string): T {
  try {
    return read()
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new ConfigError(setting === undefined ? message : `${setting}: ${message}`, { cause })
  }
}

function describe({ path, message, code, input }: z.core.$ZodIssue): string {
  const missing = code === 'invalid_type' && input === undefined
  return `${path.join('.')} ${missing ? 'is not set' : message}`
}
