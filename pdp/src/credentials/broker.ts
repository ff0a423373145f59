// Owns handing out a credential with a decision that was an allow: whose it is, whether it can be used now, and why not.
// Keeps secrets in memory alone, and never gives one to anybody but who decides.
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type CredentialDeclaration,
  ownerOf,
  type ReleasedCredential,
} from '../../../schemas/credentials.ts'
import {
  CREDENTIAL_WAIT_MS,
  CREDENTIALS_REMEMBERED_MAX,
  REFRESH_AHEAD_MS,
  REFRESH_AHEAD_SHARE,
} from '../../../schemas/limits.ts'
import type { Clock } from '../../../schemas/ports.ts'
import type { ChangeFeed } from '../identity/change-feed.ts'
import { type Remembered, remembered } from '../identity/remembered.ts'
import { unseal } from './envelope.ts'
import { injectedBy } from './injected.ts'
import type { KeyRing } from './key-ring.ts'
import type { StartRenewal } from './renewal.ts'
import { type CredentialRecord, type CredentialRows, type Owner, ownerKey } from './rows.ts'
import { type Binding, bindingOf, isRenewable, sealedIssuer } from './secret.ts'
import { incomplete, WORDS } from './words.ts'

/** What a call needs: the server it goes to, and the person it is for (null: nobody). */
export type Need = Owner

/** `credential` null: the call goes without. `unavailable`: why it may not go, and what to do, for the person at the client. */
export type Release =
  | { readonly credential: ReleasedCredential | null }
  | { readonly unavailable: string }

export type BrokerPorts = {
  readonly rows: CredentialRows
  readonly ring: KeyRing
  readonly feed: Pick<ChangeFeed, 'position' | 'isChanged' | 'isFresh' | 'refresh'>
  readonly clock: Clock
  /** What server.yaml declares now. */
  readonly declarationOf: (server: string) => CredentialDeclaration | undefined
  /** Where it would be sent now (destination.ts). */
  readonly destinationOf: (server: string) => string
  readonly startRenewal: StartRenewal
  /** Why a connected account is not for what server.yaml names now; undefined: it is. */
  readonly unbound: (server: string, binding: Binding) => string | undefined
  /** Where somebody connects their account. */
  readonly linkOf: (need: Need) => string
  /** Told of what goes out though its server refused it last; must not throw. */
  readonly onRefused: (id: string) => void
  /** Told why a credential that is there does not open; must not throw. */
  readonly onFault: (of: CredentialRecord, error: unknown) => void
}

export type Broker = {
  /** Same length, same order. Never rejects: what cannot be looked up is unavailable. */
  readonly release: (needs: readonly Need[]) => Promise<readonly Release[]>
}

/** As the table said, decrypted. `released` is made once, and undefined where there is nothing to send. */
type Held = {
  readonly record: CredentialRecord
  readonly kind: string | undefined
  /** Where it may be sent. */
  readonly to: string
  readonly released: ReleasedCredential | undefined
  /** Of a connected account. */
  readonly binding: Binding | undefined
  /** The authorization server it may go to. */
  readonly issuer: string | undefined
}
/** `triedAt`, monotonic: what does not open is tried again, for its key may come later. */
type Known = { readonly key: string; held: Held | undefined; triedAt: number }
type Found = ReadonlyMap<string, Known>

const NONE: Release = { credential: null }
/** A token that was renewed is looked at again, so often in all. */
const LOOKS_MAX = 3
const OPEN_AGAIN_MS = 1_000

export function openBroker(ports: BrokerPorts): Broker {
  const find = remember(ports)
  return {
    async release(needs) {
      const declared = needs.map(({ server }) => ports.declarationOf(server))
      const keys = new Set<string>()
      for (const [index, need] of needs.entries())
        for (const owner of ownersOf(need, declared[index])) keys.add(ownerKey(owner))
      if (declared.every((one) => one === undefined)) return needs.map(() => NONE)
      const lookUp = async (): Promise<Found | undefined> => {
        // The database is silent: nobody knows what there is now.
        const found = await find([...keys]).catch(() => undefined)
        if (found !== undefined && [...found.values()].some(isUnopened))
          await openAgain(ports, found).catch(() => undefined)
        return found
      }
      const found = await lookUp()
      return Promise.all(
        needs.map(async (need, index) => {
          const declaration = declared[index]
          if (declaration === undefined) return NONE
          return releaseOne(ports, { need, declaration, found }, lookUp)
        }),
      )
    },
  }
}

type Asked = {
  readonly need: Need
  readonly declaration: CredentialDeclaration
  readonly found: Found | undefined
}

async function releaseOne(
  ports: BrokerPorts,
  { need, declaration, found }: Asked,
  lookUp: () => Promise<Found | undefined>,
): Promise<Release> {
  let known = found
  for (let look = 0; look < LOOKS_MAX; look++) {
    if (known === undefined) return { unavailable: WORDS.unknown }
    const held = pick(known, need, declaration)
    const problem = problemOf(ports, need, declaration, held)
    if (problem !== undefined) return { unavailable: problem }
    if (held === undefined) return NONE
    const freshness = freshnessOf(held, ports.clock.now())
    if (held.record.refused !== null) ports.onRefused(held.record.id)
    if (freshness === 'fresh') return handed(held)
    const renewal = ports.startRenewal(held.record, declaration)
    if (freshness === 'ageing') return handed(held)
    const leftMs = renewal.since + CREDENTIAL_WAIT_MS - ports.clock.monotonic()
    if (!(await endsWithin(renewal.ended, leftMs))) return { unavailable: WORDS.renewing }
    known = await lookUp()
    const after = known && pick(known, need, declaration)
    if (after?.record.version === held.record.version) {
      const { reconnect } = after.record
      const why = reconnect === null ? WORDS.unrenewed : WORDS.reconnect(after.record, undefined)
      return { unavailable: problemOf(ports, need, declaration, after) ?? why }
    }
  }
  return { unavailable: WORDS.unrenewed }
}

/** INVARIANT: what is there and holds nothing to send never makes a call go without. */
function handed({ released }: Held): Release {
  return released === undefined ? { unavailable: WORDS.unreadable } : { credential: released }
}

/** Whose may be used, the caller's own first. */
function ownersOf({ server, user }: Need, declaration: CredentialDeclaration | undefined): Owner[] {
  if (declaration === undefined) return []
  const per = ownerOf(declaration)
  const own = per === 'deployment' || user === null ? [] : [{ server, user }]
  return per === 'user' ? own : [...own, { server, user: null }]
}

function pick(found: Found, need: Need, declaration: CredentialDeclaration): Held | undefined {
  for (const owner of ownersOf(need, declaration)) {
    const held = found.get(ownerKey(owner))?.held
    if (held !== undefined) return held
  }
  return undefined
}

/** Why the call may not go; undefined where it may, with what is held or without. */
function problemOf(
  { linkOf, destinationOf, unbound }: Pick<BrokerPorts, 'linkOf' | 'destinationOf' | 'unbound'>,
  need: Need,
  declaration: CredentialDeclaration,
  held: Held | undefined,
): string | undefined {
  const { server } = need
  const user = ownerOf(declaration) === 'user' ? need.user : null
  const link = (): string | undefined =>
    declaration.kind === 'oauth' ? linkOf({ server, user }) : undefined
  if (held === undefined)
    return declaration.required ? WORDS.missing(need, declaration, link()) : undefined
  const { record, kind, to, binding } = held
  if (kind === undefined) return WORDS.unreadable
  if (record.kind !== declaration.kind || kind !== declaration.kind) return WORDS.undeclared(need)
  if (to !== destinationOf(server)) return WORDS.moved({ server, user }, link())
  if (declaration.kind === 'client_credentials')
    return isOfAnother(held, declaration.issuer)
      ? WORDS.moved({ server, user }, undefined)
      : undefined
  if (record.reconnect !== null) return WORDS.reconnect(record, link())
  const why = binding === undefined ? undefined : unbound(server, binding)
  if (why !== undefined) return WORDS.reconnect({ ...record, reconnect: why }, link())
  const lacking = incomplete(declaration, record.names)
  return lacking.length > 0 ? WORDS.incomplete(lacking) : undefined
}

/** Client credentials go to the authorization server that they were set for. */
function isOfAnother({ issuer }: Held, stated: string | undefined): boolean {
  return stated !== undefined && stated !== issuer
}

/** Static secrets are always fresh. `ageing`: good still, and not for long. */
function freshnessOf({ record, released }: Held, now: number): 'fresh' | 'ageing' | 'expired' {
  if (!isRenewable(record)) return 'fresh'
  const expiresAt = record.expires?.getTime() ?? 0
  const leftMs = expiresAt - now
  if (released === undefined || leftMs <= 0) return 'expired'
  const lifetimeMs = expiresAt - record.updated.getTime()
  const aheadMs = Math.min(REFRESH_AHEAD_MS, lifetimeMs * REFRESH_AHEAD_SHARE)
  return leftMs < aheadMs ? 'ageing' : 'fresh'
}

/** Also that there is none: an optional credential that nobody set must cost no look-up. */
function remember({ feed, rows, ring, clock, onFault }: BrokerPorts): Remembered<Known> {
  return remembered<Known>({
    feed,
    max: CREDENTIALS_REMEMBERED_MAX,
    originsOf: ({ key }) => [{ kind: 'credential', id: key }],
    async lookup(keys) {
      const records = await rows.ofKeys(keys)
      const held = await Promise.all(records.map((record) => open(ring, record, onFault)))
      const triedAt = clock.monotonic()
      const known = new Map(
        keys.map((key): [string, Known] => [key, { key, held: undefined, triedAt }]),
      )
      for (const one of held) {
        const key = ownerKey(one.record)
        known.set(key, { key, held: one, triedAt })
      }
      return known
    },
  })
}

function isUnopened({ held }: Known): boolean {
  return held !== undefined && held.kind === undefined
}

/** Not more often than OPEN_AGAIN_MS each. From the table: that it was wrapped anew is told nobody. */
async function openAgain({ rows, ring, clock, onFault }: BrokerPorts, found: Found): Promise<void> {
  const now = clock.monotonic()
  const due = [...found.values()].filter(
    (known) => isUnopened(known) && now - known.triedAt >= OPEN_AGAIN_MS,
  )
  if (due.length === 0) return
  for (const known of due) known.triedAt = now
  for (const record of await rows.ofKeys(due.map(({ key }) => key))) {
    const known = found.get(ownerKey(record))
    if (known !== undefined) known.held = await open(ring, record, onFault)
  }
}

async function open(
  ring: KeyRing,
  record: CredentialRecord,
  onFault: BrokerPorts['onFault'],
): Promise<Held> {
  try {
    const { to, secret } = await unseal(ring, record.envelope, record)
    const injected = injectedBy(secret)
    const { id, version } = record
    const released = injected && Object.freeze({ id, version, ...injected })
    const [binding, issuer] = [bindingOf(secret), sealedIssuer(secret)]
    return { record, kind: secret.kind, to, released, binding, issuer }
  } catch (error) {
    onFault(record, error)
    return {
      record,
      kind: undefined,
      to: '',
      released: undefined,
      binding: undefined,
      issuer: undefined,
    }
  }
}

async function endsWithin(ended: Promise<void>, ms: number): Promise<boolean> {
  if (ms <= 0) return false
  const late = new AbortController()
  const waited = sleep(ms, false, { signal: late.signal, ref: false }).catch(() => false)
  return Promise.race([ended.then(() => true), waited]).finally(() => late.abort())
}
