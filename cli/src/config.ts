// Owns the environment of the command line: read here once, nowhere else in cli/.
import { resolve } from 'node:path'

/** Directory of `dev`'s state when CEDARGATE_HOME is not set, under the current directory. */
const DEFAULT_HOME = '.cedargate'

export type CliConfig = {
  /** Absolute path of $CEDARGATE_HOME: state of `dev`, keys. Default `.cedargate` in the current directory. */
  readonly home: string
  /** CEDARGATE_URL and CEDARGATE_TOKEN: the PDP to administer and an operator token for it. */
  readonly url: string | undefined
  readonly token: string | undefined
  /** The whole environment, for the services that `dev`, `pdp` and `pep` start. */
  readonly env: Readonly<Record<string, string | undefined>>
}

/** A variable that is set to nothing counts as not set, everywhere. */
export function readConfig(
  given: Readonly<Record<string, string | undefined>> = process.env,
): CliConfig {
  const env = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ''))
  return {
    home: resolve(env['CEDARGATE_HOME'] ?? DEFAULT_HOME),
    url: env['CEDARGATE_URL'],
    token: env['CEDARGATE_TOKEN'],
    env,
  }
}
