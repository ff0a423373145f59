// Owns who a bearer token speaks for, of both kinds: a gateway token by its digest, an access token of an identity
// provider by what it says. Never says what they may do: that is policy.
import { hash } from 'node:crypto'
import type { Identity, IdentityClient } from '../../../schemas/bundle.ts'
import { JWT_TOLERANCE_SECONDS } from '../../../schemas/limits.ts'
import type { IdentifyRequest, IdentifyResponse } from '../../../schemas/pep-api.ts'
import type { Clock } from '../../../schemas/ports.ts'
import type { Scope } from '../../../schemas/scopes.ts'
import { clientIn } from './claims.ts'
import type { ClientGrants } from './client-grants.ts'
import type { Credential, Grant, ResolveCallers } from './grant.ts'
import { clientKey, type GrantResolver, type ResolveGrants } from './resolve.ts'
import type { SignIn } from './sign-in.ts'
import { TokenError } from './token-error.ts'
import type { VerifiedToken } from './verified.ts'
import type { TokenVerifier } from './verify-jwt.ts'

export type Callers = {
  /** An access token that is good for nothing is absent, whatever the reason; the others are answered all the same. */
  readonly resolveCallers: ResolveCallers
  /** By id, for what is shown: within what gateway.yaml says of their clients now. */
  readonly resolveById: ResolveGrants
  readonly identify: (asked: IdentifyRequest) => Promise<IdentifyResponse>
}

type CallerPorts = {
  readonly verifier: Pick<TokenVerifier, 'verifyAccessToken'>
  readonly grants: Pick<
    GrantResolver,
    'resolveGrants' | 'resolveById' | 'resolveByClient' | 'identifyToken'
  >
  readonly signIn: SignIn
  readonly clientGrants: Pick<ClientGrants, 'admit'>
  /** Of the bundle that decides now. */
  readonly settings: () => Identity
  readonly clock: Clock
  /** Told why a token was not taken, when its PEP asks whose it is. */
  readonly onRefused: (error: TokenError) => void
}

export function openCallers(ports: CallerPorts): Callers {
  const { grants } = ports
  const grantOf = openGrantOf(ports)
  return {
    async resolveCallers(credentials) {
      const jwts = credentials.filter(isJwt)
      const digests = credentials.flatMap(({ token, jwt }) => (jwt === null ? [token] : []))
      if (jwts.length === 0) return await grants.resolveGrants(digests)
      const once = new Map(jwts.map((one) => [one.token, one]))
      const [found, ...others] = await Promise.all([
        grants.resolveGrants(digests),
        ...[...once.values()].map(async (one) => [one.token, await grantOf(one).catch(nobody)] as const),
      ]) // biome-ignore format: long line
      const all = new Map(found)
      for (const [token, grant] of others) if (grant !== undefined) all.set(token, grant)
      return all
    },

    async resolveById(ids) {
      const found = await grants.resolveById(ids)
      const isClients = [...found.values()].some(({ client }) => client !== null)
      if (!isClients) return found
      const within = [...found].map(([id, grant]) => [id, underSettings(grant)] as const)
      return new Map(within.flatMap(([id, grant]) => (grant === undefined ? [] : [[id, grant]])))
    },

    async identify(asked) {
      if (!isJwt(asked)) return await grants.identifyToken(asked.token)
      try {
        return { grant: (await grantOf(asked)).id }
      } catch (error) {
        if (!(error instanceof TokenError)) throw error
        ports.onRefused(error)
        return { grant: null, fault: error.fault }
      }
    },
  }

  function underSettings(grant: Grant): Grant | undefined {
    if (grant.client === null) return grant
    const settings = clientIn(ports.settings(), grant.client)
    return settings && isFor(grant, settings) ? narrowed(grant, settings) : undefined
  }
}

/** Finds the grant of an access token. Rejects with TokenError when there is none. */
function openGrantOf(ports: CallerPorts): (credential: JwtCredential) => Promise<Grant> {
  const { verifier, grants, signIn, clientGrants, clock } = ports
  /** Whose a token is, once they were let in. The verifier answers the same object for the same token. */
  const admitted = new WeakMap<VerifiedToken, Promise<string | null>>()
  return grantOf

  async function grantOf({ token: digest, jwt }: JwtCredential): Promise<Grant> {
    if (hash('sha256', jwt) !== digest)
      throw new TokenError('unknown', 'it is another token than its PEP names')
    const token = await verifier.verifyAccessToken(jwt, ports.settings())
    const found = await grantFor(token)
    if (found !== undefined) return found
    // It has expired meanwhile, or somebody ended it: that is told as to who comes first.
    admitted.delete(token)
    const again = await grantFor(token)
    if (again !== undefined) return again
    throw new TokenError('unknown', `user, agent or grant of ${token.subject} is not in force`)
  }

  /** Undefined when the grant is not in force, or is not what the token is for. */
  async function grantFor(token: VerifiedToken): Promise<Grant | undefined> {
    const user = await admittedUser(token)
    const key = clientKey(token)
    const grant = (await grants.resolveByClient([key])).get(key)
    if (grant === undefined || clock.now() >= grant.expiresAt) return undefined
    if (grant.user !== user || !isFor(grant, token.settings)) return undefined
    const expiresAt = token.expiresAt + JWT_TOLERANCE_SECONDS * 1000
    const within = narrowed(grant, { servers: token.settings.servers, scopes: token.scopes })
    return { ...within, expiresAt: Math.min(grant.expiresAt, expiresAt) }
  }

  function admittedUser(token: VerifiedToken): Promise<string | null> {
    const before = admitted.get(token)
    if (before !== undefined) return before
    const user = admit(token)
    admitted.set(token, user)
    user.catch(() => admitted.delete(token))
    return user
  }

  async function admit(token: VerifiedToken): Promise<string | null> {
    const { user } = token
    const id = user === null ? null : await signIn({ ...token, user })
    await clientGrants.admit(token, id)
    return id
  }
}

type JwtCredential = Credential & { readonly jwt: string }

function isJwt<Asked extends Credential>(asked: Asked): asked is Asked & JwtCredential {
  return asked.jwt !== null
}

function nobody(error: unknown): undefined {
  if (!(error instanceof TokenError)) throw error
}

/** Whether it was made for what the client is now. */
function isFor(grant: Grant, { agent, headless }: IdentityClient): boolean {
  return grant.agent === agent && (grant.user === null) === headless
}

type Within = { readonly servers: readonly string[]; readonly scopes: readonly Scope[] }

function narrowed(grant: Grant, { servers, scopes }: Within): Grant {
  return {
    ...grant,
    servers: grant.servers.filter((server) => servers.includes(server)),
    scopes: { ...grant.scopes, grant: grant.scopes.grant.filter((one) => scopes.includes(one)) },
  }
}
