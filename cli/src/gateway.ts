// Owns which gateway a command talks to, and with which token. Never talks to it.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { LOOPBACK_HOSTS } from '../../schemas/hosts.ts'
import type { CliConfig } from './config.ts'
import { CommandError } from './errors.ts'
import { parseJson } from './parse-json.ts'
import { readLogin } from './saved-login.ts'

/** A PDP, without a slash at its end, and the token that stands for whoever types. */
export type Gateway = {
  readonly url: string
  readonly token: string
  /** Where the token is from: CEDARGATE_TOKEN, `cedargate login`, or `dev`. */
  readonly from: 'setting' | 'login' | 'dev'
}

/** How to come by a gateway where none was named. */
export const START_HINT =
  'start one with `npm start`, or sign in to one: cedargate login --url https://<pdp>'

const devFacts = z.object({ pdpUrl: z.url(), operatorToken: z.string() })

/**
 * The gateway of CEDARGATE_URL with CEDARGATE_TOKEN; else the one of the last `cedargate login`, which CEDARGATE_URL
 * may name; else the `dev` gateway whose facts stand in `$CEDARGATE_HOME/dev.json`. A token is for the gateway it was
 * made by and no other. Throws CommandError (exit 2) when there is none, and for plain http beyond this machine.
 */
export async function findGateway(config: CliConfig): Promise<Gateway> {
  const { token } = config
  const url = config.url?.replace(/\/$/, '')
  if (url !== undefined && token !== undefined) {
    requireSafe(url, 'CEDARGATE_URL')
    return { url, token, from: 'setting' }
  }
  const login = token === undefined ? await readLogin(config.home) : undefined
  if (login !== undefined && (url === undefined || url === login.url)) {
    if (Date.parse(login.expiresAt) > Date.now()) return { ...login, from: 'login' }
    throw new CommandError(`you are signed out of ${login.url} since ${login.expiresAt}`, {
      hint: '`cedargate login` signs in again; `cedargate logout` forgets that gateway',
    })
  }
  if (url !== undefined || token !== undefined) {
    throw new CommandError(
      'CEDARGATE_URL and CEDARGATE_TOKEN belong together: one of them is not set',
      url === undefined ? {} : { hint: `or sign in: cedargate login --url ${url}` },
    )
  }
  return { ...(await devGateway(join(config.home, 'dev.json'))), from: 'dev' }
}

/**
 * The PDP to sign in to: `--url`, else CEDARGATE_URL, else the one signed in to before. Throws CommandError when there
 * is none, and for plain http beyond this machine: what is sent there makes an operator of whoever reads it.
 */
export async function signInUrl(config: CliConfig, given: string | undefined): Promise<string> {
  const url = given ?? config.url ?? (await readLogin(config.home))?.url
  if (url !== undefined) return requireSafe(url, 'the gateway').href.replace(/\/$/, '')
  throw new CommandError('no gateway to sign in to', {
    hint: 'name its decision point: cedargate login --url https://<pdp>',
  })
}

/** The parsed URL: https, or http on this machine alone. Throws CommandError for any other; `what` names whose it is. */
export function requireSafe(text: string, what: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol === 'https:') return url
  if (url?.protocol === 'http:' && LOOPBACK_HOSTS.has(url.hostname)) return url
  throw new CommandError(`${what}: \`${text}\` is not an https URL`, {
    hint: "http is for this machine alone (127.0.0.1, localhost): name an https URL, or a tunnel's end here",
  })
}

async function devGateway(path: string): Promise<{ url: string; token: string }> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) {
    throw new CommandError(`no running gateway found: ${path} does not exist`, {
      hint: START_HINT,
    })
  }
  const facts = devFacts.safeParse(parseJson(text))
  if (facts.success) return { url: facts.data.pdpUrl, token: facts.data.operatorToken }
  throw new CommandError(`${path} is damaged`, { hint: 'stop the gateway and start it again' })
}
