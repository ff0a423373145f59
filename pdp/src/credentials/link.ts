// Owns the address where somebody connects an account. It names a server and a person, and carries no authority.
import type { CredentialDeclaration } from '../../../schemas/credentials.ts'
import type { ConnectLink } from '../../../schemas/credentials-api.ts'
import { Refused } from '../identity/refused.ts'
import type { Owner } from './rows.ts'

export function linkTo(publicUrl: string, { server, user }: Owner): string {
  const page = `${publicUrl}/connect/${server}`
  return user === null ? page : `${page}?user=${encodeURIComponent(user)}`
}

type Declared = {
  readonly servers: ReadonlyMap<string, { readonly credential: CredentialDeclaration | undefined }>
}

/** Throws Refused for a server whose credential nobody connects, or not for this user. */
export function connectLink(
  { servers }: Declared,
  publicUrl: string,
  server: string,
  user: string | undefined,
): ConnectLink {
  const credential = servers.get(server)?.credential
  if (credential?.kind !== 'oauth') {
    const how =
      credential === undefined
        ? 'declares no credential, or is not in the bundle'
        : `has one of kind ${credential.kind}; set it with \`cedargate credentials set\``
    throw new Refused(`nobody connects an account for server ${server}: it ${how}`)
  }
  if (credential.per === 'deployment' && user !== undefined)
    throw new Refused(`the account of ${server} is one for all: leave out --user`)
  return { url: linkTo(publicUrl, { server, user: user ?? null }), server, user: user ?? null }
}
