// Owns how the processes that the PEP starts are kept apart from it: by bubblewrap, as another user, or not at all. What is
// asked for and cannot be had keeps the PEP from starting; only `auto` does with less, and says so.
import { execFile } from 'node:child_process'
import { access, constants, realpath } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { ISOLATION_TRIAL_MS } from '../limits.ts'
import type { Log } from '../ports.ts'
import { bubblewrapArguments, type Kept } from './bubblewrap.ts'
import { type Command, type Env, type Isolation, unisolated } from './child.ts'

export type IsolationPorts = {
  /** The PEP's own: `bwrap`, `setpriv` and `getent` are looked for in its PATH. */
  readonly env: Env
  readonly kept: Kept
  readonly log: Log
  /** User id of this process; undefined where there are none. */
  readonly uid: number | undefined
}

const SETTING = 'CEDARGATE_ISOLATION'
const run = promisify(execFile)

/**
 * What `setting` (schemas/settings.ts) asks for, tried out. Throws Error with one line that names the setting and what
 * to do.
 */
export async function openIsolation(setting: string, ports: IsolationPorts): Promise<Isolation> {
  if (setting === 'off') return unisolated
  if (setting.startsWith('user:')) return asUser(setting.slice('user:'.length), ports)
  try {
    return await inBubblewrap(ports)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    if (setting === 'bubblewrap') {
      const message = `${SETTING}=bubblewrap: ${why}; \`apt-get install bubblewrap\`, or set it to auto or off`
      throw new Error(message, { cause })
    }
    ports.log.warn(
      { why },
      `servers that this PEP starts can read what it can: install bubblewrap, or set ${SETTING} (auto, bubblewrap, user:<name>, off)`,
    )
    return unisolated
  }
}

async function inBubblewrap({ env, kept, uid }: IsolationPorts): Promise<Isolation> {
  const bwrap = await find('bwrap', env)
  const whereIs = () => realpath(kept.home).catch(() => undefined)
  const home = await whereIs()
  const isolation: Isolation = async (command) => {
    // A server that may write everywhere may move it: what is not found is not hidden.
    if (home !== undefined && (await whereIs()) !== home)
      throw new Error(`${kept.home} is not where it was: no server is started`)
    return { ...command, command: bwrap, args: await bubblewrapArguments(command, kept, uid === 0) }
  }
  await attempt(isolation, { command: 'true', args: [], env, cwd: undefined, writable: null })
  return isolation
}

async function asUser(name: string, { env, kept, uid }: IsolationPorts): Promise<Isolation> {
  const setting = `${SETTING}=user:${name}`
  if (uid !== 0) throw new Error(`${setting}: only a PEP that runs as root can start another user`)
  const setpriv = await find('setpriv', env).catch((cause: unknown) => {
    throw new Error(`${setting}: there is no \`setpriv\`; install util-linux`, { cause })
  })
  const { own, group, home } = await lookUp(name, env).catch((cause: unknown) => {
    throw new Error(`${setting}: there is no such user`, { cause })
  })
  if (own === '0') throw new Error(`${setting}: that user is root`)
  const options = [
    `--reuid=${own}`, `--regid=${group}`, '--init-groups', '--inh-caps=-all', '--bounding-set=-all',
    '--no-new-privs', '--pdeathsig=KILL', '--',
  ] // biome-ignore format: a list
  const isolation: Isolation = ({ command, args, env: given, ...rest }) =>
    Promise.resolve({
      ...rest,
      command: setpriv,
      args: [...options, command, ...args],
      env: { ...given, HOME: home },
    })
  const asking = { env, cwd: undefined, writable: null }
  await attempt(isolation, { command: 'true', args: [], ...asking }).catch((cause: Error) => {
    throw new Error(`${setting}: nothing can be started as that user: ${cause.message}`, { cause })
  })
  for (const path of [kept.home, ...kept.secrets]) {
    const isOpen = '[ -r "$0" ] || [ -x "$0" ]'
    const asked = attempt(isolation, { command: 'sh', args: ['-c', isOpen, path], ...asking })
    const mayRead = await asked.then(() => true, () => false) // biome-ignore format: one line
    if (mayRead)
      throw new Error(`${setting}: that user can read ${path}; take its rights away (chmod go=)`)
  }
  return isolation
}

async function lookUp(name: string, env: Env) {
  const { stdout } = await run(await find('getent', env), ['passwd', name])
  const [, , own = '', group = '', , home = ''] = stdout.trim().split(':')
  return { own, group, home }
}

/** Rejects with the last thing it said when it fails or takes longer than ISOLATION_TRIAL_MS. */
async function attempt(
  isolation: Isolation,
  { env, ...rest }: Omit<Command, 'env'> & { readonly env: Env },
): Promise<void> {
  const path = env['PATH']
  const own = { ...rest, env: path === undefined ? {} : { PATH: path } }
  const { command, args, env: given } = await isolation(own)
  try {
    await run(command, args, { env: given, timeout: ISOLATION_TRIAL_MS })
  } catch (cause) {
    const said = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : ''
    throw new Error(said.split('\n').at(-1) || 'it does not run here', { cause })
  }
}

/** The program in PATH. Throws Error where there is none. */
async function find(name: string, env: Env): Promise<string> {
  for (const directory of (env['PATH'] ?? '').split(delimiter).filter(Boolean)) {
    const path = join(directory, name)
    const isThere = await access(path, constants.X_OK).then(() => true, () => false) // biome-ignore format: one line
    if (isThere) return path
  }
  throw new Error(`there is no \`${name}\` in PATH`)
}
