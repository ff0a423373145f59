// Owns the public keys of identity providers: discovery, fetching, how long they are used, how often we ask. Our own
// clock and limits stand around jose's key set: its remote one asks without a pause while a provider is down.
// Never follows a redirect or anything that a token says.
import { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'
import { privateOrigins } from '../../../schemas/dial.ts'
import {
  JWKS_AGE_MS_MAX,
  JWKS_BYTES_MAX,
  JWKS_COOLDOWN_MS,
  JWKS_TIMEOUT_MS,
} from '../../../schemas/limits.ts'
import type { Clock } from '../../../schemas/ports.ts'
import { readAnswer } from '../egress/bounded.ts'
import type { Dialer, Fetch } from '../egress/dialer.ts'

/** Where keys come from; without `jwksUri`, where the discovery document of the issuer says. */
export type KeySource = {
  readonly issuer: string
  readonly jwksUri?: string | undefined
  /** Whether the names of both may lead to private addresses. What is discovered may on their origins alone. */
  readonly private?: boolean | undefined
}

/** One key set. The same object for as long as the provider shows the same keys. */
export type KeySet = { readonly find: JWTVerifyGetKey; readonly text: string }

export type KeySets = {
  /**
   * The keys, fetched no longer than JWKS_AGE_MS_MAX ago. From half of that on they are fetched anew meanwhile. Throws
   * when they cannot be had; then nobody asks the provider again within JWKS_COOLDOWN_MS.
   */
  readonly current: (source: KeySource) => Promise<KeySet>
  /** The keys now, for a token whose key is not among them: fetched unless we asked within JWKS_COOLDOWN_MS. */
  readonly renewed: (source: KeySource) => Promise<KeySet>
}

type Held = {
  set: KeySet | undefined
  /** When the fetch of `set` began, and when we last asked at all, monotonic. */
  asOf: number
  askedAt: number
  /** Wall clock of `asOf`: a machine that slept has keys as old as its sleep. */
  asOfWall: number
  underWay: Promise<KeySet> | undefined
}

export function openKeySets({ dial, clock }: { dial: Dialer; clock: Clock }): KeySets {
  const held = new Map<string, Held>()
  return {
    async current(source) {
      const one = heldFor(source)
      const age = ageOf(one)
      if (one.set === undefined || age >= JWKS_AGE_MS_MAX) return await ask(one, source)
      // A failure is told by the call that finds them too old.
      if (age >= JWKS_AGE_MS_MAX / 2 && !isCoolingDown(one)) ask(one, source).catch(() => undefined)
      return one.set
    },
    async renewed(source) {
      const one = heldFor(source)
      if (one.set !== undefined && one.underWay === undefined && isCoolingDown(one)) return one.set
      return await ask(one, source)
    },
  }

  function heldFor({ issuer, jwksUri = '', private: isPrivate = false }: KeySource): Held {
    const key = `${issuer} ${jwksUri} ${isPrivate}`
    const one = held.get(key)
    if (one !== undefined) return one
    const never = Number.NEGATIVE_INFINITY
    const made: Held = { set: undefined, asOf: never, askedAt: never, asOfWall: 0, underWay: undefined } // biome-ignore format: short
    held.set(key, made)
    return made
  }

  function ageOf({ asOf, asOfWall }: Held): number {
    return Math.max(clock.monotonic() - asOf, Math.abs(clock.now() - asOfWall))
  }

  function isCoolingDown({ askedAt }: Held): boolean {
    return clock.monotonic() - askedAt < JWKS_COOLDOWN_MS
  }

  function ask(one: Held, source: KeySource): Promise<KeySet> {
    if (one.underWay !== undefined) return one.underWay
    if (isCoolingDown(one)) return Promise.reject(new Error('the last attempt failed just now'))
    const [asOf, asOfWall] = [clock.monotonic(), clock.now()]
    one.askedAt = asOf
    one.underWay = fetchKeys(dial, source)
      .then((keys) => {
        const text = JSON.stringify(keys)
        if (one.set?.text !== text) one.set = { find: createLocalJWKSet(keys), text }
        one.asOf = asOf
        one.asOfWall = asOfWall
        return one.set
      })
      .finally(() => {
        one.underWay = undefined
      })
    return one.underWay
  }
}

async function fetchKeys(dial: Dialer, source: KeySource): Promise<JSONWebKeySet> {
  const { issuer, jwksUri, private: isPrivate = false } = source
  const reach = dial(privateOrigins([issuer, jwksUri], isPrivate))
  const init: RequestInit = {
    redirect: 'manual',
    signal: AbortSignal.timeout(JWKS_TIMEOUT_MS),
    headers: { accept: 'application/json' },
  }
  const keys = await fetchJson(reach, jwksUri ?? (await discover(reach, issuer, init)), init)
  return keys as JSONWebKeySet // createLocalJWKSet checks it.
}

/** OpenID Connect Discovery §4: the document must name the very issuer that was asked for. */
async function discover(reach: Fetch, issuer: string, init: RequestInit): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const document = (await fetchJson(reach, url, init)) as { issuer?: unknown; jwks_uri?: unknown }
  if (document?.issuer !== issuer) throw new Error('its discovery document names another issuer')
  const { jwks_uri: uri } = document
  if (typeof uri === 'string') return uri
  throw new Error('its discovery document has no jwks_uri')
}

async function fetchJson(reach: Fetch, url: string, init: RequestInit): Promise<unknown> {
  const response = await reach(url, init)
  if (response.status !== 200) {
    await response.body?.cancel()
    throw new Error(`${url} answers ${response.status}`)
  }
  return JSON.parse((await readAnswer(response, JWKS_BYTES_MAX)).toString('utf8'))
}
