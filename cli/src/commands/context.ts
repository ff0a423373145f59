// Owns what every command is given, and the options they share.
import { InvalidArgumentError, Option } from 'commander'
import { SCOPES } from '../../../schemas/scopes.ts'
import type { AdminClient } from '../admin-client.ts'
import type { CliConfig } from '../config.ts'
import type { Terminal } from '../output.ts'

export type Context = {
  readonly config: CliConfig
  readonly io: Terminal
  /** Connects when a command needs it, not before: `--help` works without a gateway. */
  readonly admin: () => Promise<AdminClient>
}

/** `--format text|json`, on everything that lists or shows. */
export function formatOption(): Option {
  return new Option('--format <format>', 'text for people, json for programs')
    .choices(['text', 'json'])
    .default('text')
}

/** `--scope`, repeated. */
export function scopeOption(text: string): Option {
  return new Option('--scope <scope>', `${text} (${SCOPES.join(', ')})`).argParser<string[]>(
    (value, previous) => {
      if (SCOPES.some((scope) => scope === value)) return collect(value, previous)
      throw new InvalidArgumentError(`Allowed choices are ${SCOPES.join(', ')}.`)
    },
  )
}

/** Scopes as a table shows them. */
export function shortScopes(scopes: readonly string[]): string {
  if (scopes.length === SCOPES.length) return 'all'
  return scopes.length === 0 ? 'none' : scopes.map((scope) => scope.replace('mcp:', '')).join(',')
}

/** Gathers a repeated option. A required one takes no default: an empty list would count as given. */
export function collect(value: string, previous: string[] | false = []): string[] {
  return [...(previous || []), value]
}

/** Parses a whole number in a range, for options. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (Number.isInteger(value) && value >= least && value <= most) return value
    throw new InvalidArgumentError(`a whole number from ${least} to ${most}`)
  }
}
