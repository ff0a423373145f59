// Owns how the policy commands get a bundle and say what is wrong with it. Decides nothing.
import type { Bundle } from '../../../pdp/src/bundle/bundle.ts'
import { BundleError, type Finding, findingLine } from '../../../pdp/src/bundle/findings.ts'
import { loadBundle } from '../../../pdp/src/bundle/load.ts'
import { EXIT } from '../../../schemas/codes.ts'
import type { CliConfig } from '../config.ts'
import { CommandError } from '../errors.ts'
import { printable } from '../output.ts'

/** The bundle in `directory`. Throws BundleError with what is wrong with it. */
export function readBundle(directory: string, { env, home }: CliConfig): Promise<Bundle> {
  return loadBundle(directory, { env: { ...env, CEDARGATE_HOME: home } })
}

/** Runs `use`; a bundle that is wrong ends the command with exit 3 and every finding, `of` before each file. */
export async function orInvalid<Result>(use: () => Promise<Result>, of = ''): Promise<Result> {
  try {
    return await use()
  } catch (error) {
    if (!(error instanceof BundleError)) throw error
    const lines = error.findings.map((finding) => `${of}${shown(finding)}`)
    throw new CommandError(`the bundle is invalid\n${lines.join('\n')}`, {
      exit: EXIT.invalid,
      cause: error,
    })
  }
}

/** `file:line:column: severity: message`, with what it quotes made visible. */
export function shown(finding: Finding): string {
  const { severity, message } = finding
  return printable(findingLine({ ...finding, message: `${severity}: ${message}` }))
}
