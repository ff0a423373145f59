// Owns finding the bundle a command works on. Never reads it.
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { CommandError } from './errors.ts'

type Places = {
  /** `--bundle`. */
  readonly option: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  /** Default: the current directory. */
  readonly cwd?: string
}

/**
 * Absolute path: `--bundle`, else CEDARGATE_BUNDLE (a repository there is no checkout), else the current directory or its `policies` if that holds a
 * gateway.yaml. Throws CommandError (exit 2). Does NOT check that what is named is a bundle.
 */
export function bundleDirectory({ option, env, cwd = '.' }: Places): string {
  const setting = env['CEDARGATE_BUNDLE']
  const named = option ?? (setting?.startsWith('git+') === true ? undefined : setting)
  if (named !== undefined) return resolve(cwd, named)
  const found = ['.', 'policies'].map((name) => resolve(cwd, name)).find(holdsGateway)
  if (found !== undefined) return found
  throw new CommandError(
    'no bundle here: neither this directory nor `policies` has a gateway.yaml',
    {
      hint: 'name its directory with --bundle <dir> or CEDARGATE_BUNDLE',
    },
  )
}

function holdsGateway(directory: string): boolean {
  return existsSync(join(directory, 'gateway.yaml'))
}
