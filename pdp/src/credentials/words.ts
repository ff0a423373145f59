// Owns what people read when a credential cannot be used: never a secret, a key or an address of ours.
import type { CredentialDeclaration } from '../../../schemas/credentials.ts'
import { ownerOf } from '../../../schemas/credentials.ts'
import type { CredentialRecord, Owner } from './rows.ts'

const ASK = 'tell whoever runs the gateway'

export const WORDS = {
  unknown: `the gateway could not look up its credential for this server; try again in a moment`,
  unreadable: `the gateway cannot decrypt its credential for this server; ${ASK}`,
  renewing: 'the gateway is renewing its access token for this server; try again in a moment',
  unrenewed: 'the gateway could not renew its access token for this server; try again in a minute',
  undeclared: ({ server }: Owner) =>
    `the credential that is set for ${server} is of another kind than its server.yaml declares; ${ASK}`,
  moved({ server, user }: Owner, link: string | undefined): string {
    const moved = `${server} is at another address now than when its credential was set`
    if (link === undefined) return `${moved}; ${ASK}`
    return `${moved}: ${anew(user, link)}`
  },
  incomplete: (names: readonly string[]) =>
    `the credential for this server lacks ${names.join(', ')}; ${ASK}`,
  missing(need: Owner, declaration: CredentialDeclaration, link: string | undefined): string {
    if (link !== undefined) {
      return ownerOf(declaration) === 'user'
        ? `you have not connected your account for ${need.server} yet: open ${link} to connect it, then call again`
        : `nobody has connected the gateway's account for ${need.server} yet: an admin opens ${link} to connect it`
    }
    if (ownerOf(declaration) === 'user') {
      return need.user === null
        ? `${need.server} wants a credential of a person, and this call is for nobody`
        : `there is no credential of yours for ${need.server}; ${ASK}`
    }
    return `the gateway has no credential for ${need.server} yet; ${ASK}`
  },
  reconnect({ user, server, reconnect }: CredentialRecord, link: string | undefined): string {
    const whose = user === null ? "the gateway's account" : 'your account'
    const ended = `the connection of ${whose} for ${server} has ended (${reconnect})`
    if (link === undefined) return `${ended}; ${ASK}`
    return `${ended}: ${anew(user, link)}`
  },
} as const

function anew(user: string | null, link: string): string {
  return `${user === null ? 'an admin opens' : 'open'} ${link} to connect it anew, then call again`
}

/** Names that the declaration asks for and the credential lacks. */
export function incomplete(declaration: CredentialDeclaration, names: readonly string[]): string[] {
  const wanted = 'names' in declaration ? (declaration.names ?? []) : []
  return wanted.filter((name) => !names.includes(name))
}
