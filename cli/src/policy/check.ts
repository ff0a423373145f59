// Owns `cedargate policy check`: every finding about a bundle, for people, programs and GitHub.
import { relative } from 'node:path'
import { BundleError, type Finding } from '../../../pdp/src/bundle/findings.ts'
import { EXIT } from '../../../schemas/codes.ts'
import type { Context } from '../commands/context.ts'
import type { CliConfig } from '../config.ts'
import { CommandError } from '../errors.ts'
import type { Format, Terminal } from '../output.ts'
import { readBundle, shown } from './bundle.ts'

export type CheckFormat = Format | 'github'
type Options = { readonly format: CheckFormat; readonly warningsAsErrors: boolean }

/** Prints every finding. Throws CommandError with exit 3 when one is an error, or a warning that counts as one. */
export async function checkBundle(
  { config, io }: Pick<Context, 'config' | 'io'>,
  directory: string,
  { format, warningsAsErrors }: Options,
): Promise<void> {
  const { findings, policies } = await findingsOf(directory, config)
  print(io, format, directory, findings)
  const errors = findings.filter(({ severity }) => severity === 'error').length
  const warnings = findings.length - errors
  const counted = `${errors} errors, ${warnings} warnings`
  if (errors > 0 || (warningsAsErrors && warnings > 0)) {
    throw new CommandError(`the bundle is invalid: ${counted}`, { exit: EXIT.invalid })
  }
  io.err(`the bundle is valid: ${policies} policies, ${warnings} warnings`)
}

async function findingsOf(
  directory: string,
  config: CliConfig,
): Promise<{ readonly findings: readonly Finding[]; readonly policies: number }> {
  try {
    const { warnings, policies } = await readBundle(directory, config)
    return { findings: warnings, policies: policies.size }
  } catch (error) {
    if (error instanceof BundleError) return { findings: error.findings, policies: 0 }
    throw error
  }
}

function print(
  io: Terminal,
  format: CheckFormat,
  directory: string,
  findings: readonly Finding[],
): void {
  if (format === 'json') return io.out(JSON.stringify(findings, null, 2))
  for (const finding of findings) {
    io.out(format === 'github' ? annotation(finding, directory) : shown(finding))
  }
}

/** A GitHub workflow command; the file is named from where the command runs, which is the checkout. */
function annotation({ severity, file, line, column, message }: Finding, directory: string): string {
  const path = [relative('.', directory), file].filter((part) => part !== '').join('/')
  const at = `file=${property(path)},line=${line},col=${column}`
  return `::${severity} ${at}::${data(message)}`
}

function data(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

function property(text: string): string {
  return data(text).replaceAll(':', '%3A').replaceAll(',', '%2C')
}
