// Owns reading what CEDARGATE_LOGIN_FILE names: the file, and the secret of the web client beside it.
import { readFile } from 'node:fs/promises'
import { dirname, isAbsolute, join } from 'node:path'
import { ConfigError } from './config.ts'
import { type LoginFile, readLoginFile } from './identity/login-file.ts'

export type LoginSetting = {
  readonly login?: LoginFile
  /** Undefined: the web client is a public one. */
  readonly webClientSecret?: string
}

/** Without a path nobody signs in. Throws ConfigError that names the setting, with each mistake at its line. */
export async function readLoginSetting(path: string | undefined): Promise<LoginSetting> {
  if (path === undefined) return {}
  const text = await read(path, `CEDARGATE_LOGIN_FILE ${path}`)
  const login = parse(path, text)
  const named = login.web?.clientSecretFile
  if (named === undefined) return { login }
  const beside = isAbsolute(named) ? named : join(dirname(path), named)
  const what = `\`web.clientSecretFile\` ${beside} of CEDARGATE_LOGIN_FILE`
  const webClientSecret = (await read(beside, what)).trim()
  if (webClientSecret === '') throw new ConfigError(`${what} is empty`)
  return { login, webClientSecret }
}

async function read(path: string, what: string): Promise<string> {
  return await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new ConfigError(`${what} cannot be read`, { cause })
  })
}

function parse(path: string, text: string): LoginFile {
  try {
    return readLoginFile(path, text)
  } catch (cause) {
    throw new ConfigError(`CEDARGATE_LOGIN_FILE: ${(cause as Error).message}`, { cause })
  }
}
