// Owns the PDP's settings: the one file of pdp/ that reads the environment.
import { z } from 'zod'
import { numberSetting, portSetting, unknownSettings } from '../../schemas/settings.ts'

type Env = Readonly<Record<string, string | undefined>>

/** Every setting of `cedargate pdp`. */
const settings = z.object({
  /** PostgreSQL, `postgres://user:password@host/database`; the role needs the tables of `cedargate db migrate`. */
  DATABASE_URL: z.string().min(1, 'is required, e.g. postgres://user:password@host/database'),
  /** Directory of the policy bundle, or the repository it lies in: git+https://…, git+ssh://… or git+file:///…. */
  CEDARGATE_BUNDLE: z
    .string()
    .min(1, 'is required: the directory of your policy bundle, or git+https://…'),
  /** Of a repository: branch, tag or commit; folder of the bundle in it; seconds between two looks. */
  CEDARGATE_BUNDLE_REF: z.string().default('main'),
  CEDARGATE_BUNDLE_FOLDER: z.string().default(''),
  CEDARGATE_BUNDLE_POLL_SECONDS: numberSetting(1, 86_400).default(30),
  /** Signs calls of POST /hooks/bundle, which make the PDP look at once; at least 16 characters. */
  CEDARGATE_BUNDLE_WEBHOOK_SECRET: z.string().min(16, 'must be at least 16 characters').optional(),
  /** File with one key a line, as in requireSignedBy: commits must be signed by one of them, whatever the bundle says. */
  CEDARGATE_BUNDLE_SIGNERS_FILE: z.string().optional(),
  /** Directory with `keys/`, made by `cedargate keys create`. */
  CEDARGATE_HOME: z.string().default('.cedargate'),
  /** Keys that upstream credentials are encrypted with, in base64, the first for what is new; default: keys/credentials.key. */
  CEDARGATE_CREDENTIAL_KEYS: z.string().min(1).optional(),
  /** Loopback address to listen on. PEPs on other hosts need TLS in front, see SECURITY.md. */
  CEDARGATE_PDP_HOST: z
    .string()
    .default('127.0.0.1')
    .refine((host) => /^(127\.|::1$|localhost$)/.test(host), 'must be a loopback address'),
  CEDARGATE_PDP_PORT: portSetting.default(8181),
  /** Path of a Unix socket to listen on too: PEPs on this host reach it faster than the port. */
  CEDARGATE_PDP_SOCKET: z.string().optional(),
  /** Base URL outside callers use; AuthZEN discovery repeats it. Default `http://host:port`. */
  CEDARGATE_PDP_PUBLIC_URL: z.url().optional(),
  /** YAML file that says where operators sign in, and which groups give which roles; without it nobody can. */
  CEDARGATE_LOGIN_FILE: z.string().optional(),
  /** Worker threads that run Cedar. */
  CEDARGATE_ENGINE_WORKERS: numberSetting(1, 64).default(2),
  CEDARGATE_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
})

/** Where bundles come from. `location`: a directory, or a git URL behind `git+`. */
export type BundleConfig = {
  readonly location: string
  readonly ref: string
  readonly folder: string
  readonly pollMs: number
  readonly webhookSecret: string | undefined
  readonly signersFile: string | undefined
}

export type PdpConfig = {
  readonly databaseUrl: string
  readonly bundle: BundleConfig
  readonly home: string
  readonly credentialKeys: string | undefined
  readonly host: string
  readonly port: number
  readonly socket: string | undefined
  readonly publicUrl: string | undefined
  readonly loginFile: string | undefined
  readonly engineWorkers: number
  readonly logLevel: string
  readonly env: Env
}

/** A setting that is missing, misspelt or out of range; the message names it and says what it takes. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/** Reads the environment once. Throws ConfigError with one line that names every setting at fault. */
export function readPdpConfig(env: Env = process.env): PdpConfig {
  const unknown = unknownSettings(env)
  if (unknown.length > 0) throw new ConfigError(`unknown setting ${unknown.join(', ')}`)
  const parsed = settings.safeParse(env)
  if (!parsed.success) throw new ConfigError(parsed.error.issues.map(describe).join('; '))
  const read = parsed.data
  return {
    databaseUrl: read.DATABASE_URL,
    bundle: {
      location: read.CEDARGATE_BUNDLE,
      ref: read.CEDARGATE_BUNDLE_REF,
      folder: read.CEDARGATE_BUNDLE_FOLDER,
      pollMs: read.CEDARGATE_BUNDLE_POLL_SECONDS * 1_000,
      webhookSecret: read.CEDARGATE_BUNDLE_WEBHOOK_SECRET,
      signersFile: read.CEDARGATE_BUNDLE_SIGNERS_FILE,
    },
    home: read.CEDARGATE_HOME,
    credentialKeys: read.CEDARGATE_CREDENTIAL_KEYS,
    host: read.CEDARGATE_PDP_HOST,
    port: read.CEDARGATE_PDP_PORT,
    socket: read.CEDARGATE_PDP_SOCKET,
    publicUrl: read.CEDARGATE_PDP_PUBLIC_URL?.replace(/\/$/, ''),
    loginFile: read.CEDARGATE_LOGIN_FILE,
    engineWorkers: read.CEDARGATE_ENGINE_WORKERS,
    logLevel: read.CEDARGATE_LOG_LEVEL,
    env,
  }
}

function describe({ path, message, code, input }: z.core.$ZodIssue): string {
  const missing = code === 'invalid_type' && input === undefined
  return `${path.join('.')} ${missing ? 'is not set' : message}`
}
