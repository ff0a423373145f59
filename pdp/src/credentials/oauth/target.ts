// Owns finding the server of a bundle whose OAuth credential is meant. Pure.
import type { CredentialDeclaration } from '../../../../schemas/credentials.ts'
import { expandVariables } from '../../../../schemas/expand.ts'
import type { Upstream } from '../../../../schemas/pep-api.ts'
import type { OauthTarget } from './discover.ts'

type Declared = {
  readonly upstream: Pick<Upstream, 'id' | 'url' | 'private'>
  readonly credential: CredentialDeclaration | undefined
}

/**
 * Undefined: its credential is no OAuth one, or its `url` names a variable that is not set here. `env`: of the PDP; its PEP
 * expands the same.
 */
export function oauthTarget(
  { upstream, credential: declaration }: Declared,
  env: Readonly<Record<string, string | undefined>>,
): OauthTarget | undefined {
  if (declaration?.kind !== 'oauth' && declaration?.kind !== 'client_credentials') return undefined
  const url = expandVariables(upstream.url ?? '', env)
  if (!url.ok || !URL.canParse(url.value)) return undefined
  const { id: server, private: isPrivate } = upstream
  return { server, serverUrl: url.value, private: isPrivate === true, declaration }
}
