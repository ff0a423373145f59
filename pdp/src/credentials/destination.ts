// Owns where a credential goes: the origin of its server, as server.yaml says it. Whoever may push a bundle must not get a
// secret by another `url`. Pure.
import { expandVariables } from '../../../schemas/expand.ts'
import type { Upstream } from '../../../schemas/pep-api.ts'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * `https://host:port`; the url as it is written where only its PEP can expand it; `process` for a server that the PEP
 * starts itself: what that runs is the bundle's to say.
 */
export function destinationOf(
  { url, command }: Pick<Upstream, 'url' | 'command'>,
  env: Environment,
): string {
  if (url === null || command !== null) return 'process'
  const expanded = expandVariables(url, env)
  return expanded.ok ? (URL.parse(expanded.value)?.origin ?? url) : url
}
