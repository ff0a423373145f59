// Owns whose request one is: what it authenticates with, which grant that is, and how often a source may be wrong about
// it. Decides nothing.
import type { IncomingMessage } from 'node:http'
import { GatewayError } from '../gateway-error.ts'
import { type Credential, readCredential } from './authenticate.ts'
import type { Failures } from './failures.ts'
import type { Identities, Identity } from './identities.ts'
import type { SourceOf } from './source.ts'

/** Whose request it is, and by what. */
export type Authenticated = Credential & Identity & { readonly sourceIp: string | null }

/**
 * Throws unauthenticated with what is wrong, too_many_failures, pdp_unavailable. A token that is known already is never
 * held up, and asks nobody.
 */
export type Callers = (incoming: IncomingMessage) => Promise<Authenticated>

export type CallerPorts = {
  readonly identities: Pick<Identities, 'known' | 'ask'>
  readonly failures: Failures
  readonly sourceOf: SourceOf
}

export function createCallers({ identities, failures, sourceOf }: CallerPorts): Callers {
  return async (incoming) => {
    const sourceIp = sourceOf(incoming)
    const credential = readCredential(incoming)
    const known = typeof credential === 'string' ? undefined : identities.known(credential)
    if (typeof credential !== 'string' && known !== undefined)
      return { ...credential, ...known, sourceIp }
    return failures.guard(sourceIp ?? undefined, async () => {
      if (typeof credential === 'string')
        throw new GatewayError('unauthenticated', `the token is ${credential}`, {
          fault: credential,
        })
      return { ...credential, ...(await identities.ask(credential, sourceIp)), sourceIp }
    })
  }
}
