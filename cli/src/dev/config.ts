// Owns the settings of `cedargate dev`.
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { ConfigError } from '../../../pdp/src/config.ts'
import {
  isolationSetting,
  numberSetting,
  portSetting,
  unknownSettings,
} from '../../../schemas/settings.ts'
import { packageRoot } from '../package-root.ts'

type Env = Readonly<Record<string, string | undefined>>

const settings = z.object({
  /** Port of the PEP on 127.0.0.1; 0 takes a free one. */
  CEDARGATE_PEP_PORT: portSetting.default(8787),
  /** Port of the PDP on 127.0.0.1; 0 takes a free one. */
  CEDARGATE_PDP_PORT: portSetting.default(8181),
  /** PostgreSQL instead of the embedded PGlite. */
  DATABASE_URL: z.string().optional(),
  /** Directory of the policy bundle. Default: the example in `policies/`. */
  CEDARGATE_BUNDLE: z.string().default(() => fileURLToPath(new URL('policies/', packageRoot))),
  /** Where people sign in who connect an account; without it nobody can. */
  CEDARGATE_LOGIN_FILE: z.string().optional(),
  /** Keys that upstream credentials are encrypted with, in base64; default: keys/credentials.key. */
  CEDARGATE_CREDENTIAL_KEYS: z.string().min(1).optional(),
  CEDARGATE_ENGINE_WORKERS: numberSetting(1, 64).default(1),
  /** What keeps the servers it starts from what is the gateway's. */
  CEDARGATE_ISOLATION: isolationSetting,
  CEDARGATE_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('warn'),
})

export type DevConfig = {
  readonly home: string
  readonly pepPort: number
  readonly pdpPort: number
  readonly databaseUrl: string | undefined
  readonly bundle: string
  readonly loginFile: string | undefined
  readonly credentialKeys: string | undefined
  readonly engineWorkers: number
  readonly isolation: string
  readonly logLevel: string
  readonly env: Env
}

/** Throws ConfigError with one line naming every setting at fault. */
export function readDevConfig(home: string, env: Env): DevConfig {
  const unknown = unknownSettings(env)
  if (unknown.length > 0) throw new ConfigError(`unknown setting ${unknown.join(', ')}`)
  const parsed = settings.safeParse(env)
  if (!parsed.success) {
    throw new ConfigError(
      parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '),
    )
  }
  const read = parsed.data
  return {
    home,
    pepPort: read.CEDARGATE_PEP_PORT,
    pdpPort: read.CEDARGATE_PDP_PORT,
    databaseUrl: read.DATABASE_URL,
    bundle: read.CEDARGATE_BUNDLE,
    loginFile: read.CEDARGATE_LOGIN_FILE,
    credentialKeys: read.CEDARGATE_CREDENTIAL_KEYS,
    engineWorkers: read.CEDARGATE_ENGINE_WORKERS,
    isolation: read.CEDARGATE_ISOLATION,
    logLevel: read.CEDARGATE_LOG_LEVEL,
    env: { ...env, CEDARGATE_HOME: home },
  }
}
