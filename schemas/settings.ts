// Owns the names of every environment variable the gateway reads, so that a misspelt one is an error and not a default.

import { z } from 'zod'

/** Set by people; each service's config.ts says what it means, its unit and its default. */
export const SETTINGS: ReadonlySet<string> = new Set([
  'CEDARGATE_HOME',
  'CEDARGATE_URL',
  'CEDARGATE_TOKEN',
  'CEDARGATE_BUNDLE',
  'CEDARGATE_BUNDLE_REF',
  'CEDARGATE_BUNDLE_FOLDER',
  'CEDARGATE_BUNDLE_POLL_SECONDS',
  'CEDARGATE_BUNDLE_WEBHOOK_SECRET',
  'CEDARGATE_BUNDLE_SIGNERS_FILE',
  'CEDARGATE_LOG_LEVEL',
  'CEDARGATE_PDP',
  'CEDARGATE_PDP_HOST',
  'CEDARGATE_PDP_PORT',
  'CEDARGATE_PDP_SOCKET',
  'CEDARGATE_PDP_PUBLIC_URL',
  'CEDARGATE_LOGIN_FILE',
  'CEDARGATE_CREDENTIAL_KEYS',
  'CEDARGATE_ENGINE_WORKERS',
  'CEDARGATE_PEP_HOST',
  'CEDARGATE_PEP_PORT',
  'CEDARGATE_PEP_KEY',
  'CEDARGATE_PEP_KEY_FILE',
  'CEDARGATE_ALLOWED_ORIGINS',
  'CEDARGATE_TRUSTED_PROXIES',
  'CEDARGATE_ALLOWED_HOSTS',
  'CEDARGATE_ISOLATION',
])

/** Prefix of variables that server.yaml may use; any name behind it is fine. */
export const SERVER_VARIABLE_PREFIX = 'CEDARGATE_SERVER_'
/** Variables of our own tests. */
const TEST_PREFIX = 'CEDARGATE_TEST_'

/** Names that look like settings of ours and are none. */
export function unknownSettings(env: Readonly<Record<string, string | undefined>>): string[] {
  return Object.keys(env).filter(
    (name) =>
      name.startsWith('CEDARGATE_') &&
      !SETTINGS.has(name) &&
      !name.startsWith(SERVER_VARIABLE_PREFIX) &&
      !name.startsWith(TEST_PREFIX),
  )
}

/** A whole number in decimal digits; anything else is refused with the range. */
export function numberSetting(min: number, max: number) {
  const error = `must be a whole number from ${min} to ${max}`
  const isInRange = (value: number): boolean => value >= min && value <= max
  return z
    .string()
    .regex(/^\d{1,9}$/, { error, abort: true })
    .transform(Number)
    .refine(isInRange, { error })
}

/** 0 takes a free port. */
export const portSetting = numberSetting(0, 65_535)

/**
 * What keeps the servers that a PEP starts from what is the gateway's: `auto` (bubblewrap where it works), `bubblewrap`,
 * `user:<name>` (of an OS user that a PEP which runs as root starts them as), `off`.
 */
export const isolationSetting = z
  .string()
  .regex(/^(?:auto|bubblewrap|off|user:[a-z_][a-z0-9_.-]{0,31})$/, {
    error: 'must be auto, bubblewrap, user:<name> or off',
  })
  .default('auto')
