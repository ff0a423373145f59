// Owns that an access token is fetched once, however many calls on however many PDPs wait for it: a lease in the database
// says who asks. Never asks twice by itself: what failed is tried again by a later call, and not at once.
import { setTimeout as sleep } from 'node:timers/promises'
import type { CredentialDeclaration } from '../../../schemas/credentials.ts'
import type { Sql } from '../../../schemas/database/sql.ts'
import {
  REFRESH_COOLDOWN_MS,
  REFRESH_LEASE_MS,
  TOKEN_REQUEST_TIMEOUT_MS,
} from '../../../schemas/limits.ts'
import type { Clock } from '../../../schemas/ports.ts'
import { uuidV7 } from '../../../schemas/uuid.ts'
import { seal, unseal, type Vaulting } from './envelope.ts'
import { CredentialFault } from './fault.ts'
import {
  CREDENTIAL_COLUMNS,
  type CredentialRecord,
  type CredentialRows,
  recordOf,
  type Written,
} from './rows.ts'
import { isRenewable, type RenewableSecret } from './secret.ts'
import { underFirst } from './under-first.ts'

export type RenewAsk = {
  readonly secret: RenewableSecret
  readonly declaration: CredentialDeclaration
  readonly server: string
  readonly signal: AbortSignal
}

/**
 * `refused`: the same question gets the same answer; an account is ended by it until somebody connects it anew. `why` is
 * shown to people, and holds nothing secret.
 */
export type Renewed =
  | {
      readonly kind: 'renewed'
      readonly secret: RenewableSecret
      readonly scopes: readonly string[] | null
      readonly issuer: string
    }
  | { readonly kind: 'refused'; readonly why: string }

/** Asks the authorization server once. Throws where it stays open whether it has answered. */
export type Renew = (ask: RenewAsk) => Promise<Renewed>

export type RenewalResult = 'renewed' | 'refused' | 'failed'

export type RenewalPorts = {
  readonly sql: Sql
  readonly rows: CredentialRows
  readonly vaulting: Vaulting
  readonly clock: Clock
  readonly renew: Renew
  /** Its row has changed. */
  readonly onChanged: (of: CredentialRecord) => void
  /** Told of every answer of an authorization server, and of each failure; must not throw. */
  readonly onResult: (of: CredentialRecord, result: RenewalResult, error?: unknown) => void
}

export type Renewal = {
  /** When it began, monotonic: nobody waits for it longer than CREDENTIAL_WAIT_MS from then. */
  readonly since: number
  /** Resolves when this version is over, or nobody will renew it now. Never rejects. */
  readonly ended: Promise<void>
}

/** Joins what is under way in this process, and waits for what another PDP does. */
export type StartRenewal = (of: CredentialRecord, declaration: CredentialDeclaration) => Renewal

/** How often the row is looked at while another PDP asks. */
const WATCH_MS = 100
/** Writing what the authorization server gave: it may be the only copy of a refresh token. */
const WRITE_ATTEMPTS = 8

export function openRenewals(ports: RenewalPorts): StartRenewal {
  const { clock } = ports
  const underWay = new Map<string, Renewal>()
  return function start(of, declaration) {
    const key = `${of.id} ${of.version}`
    const found = underWay.get(key)
    if (found !== undefined) return found
    const since = clock.monotonic()
    const ended = renewOnce(ports, of, declaration)
      .catch((error: unknown) => ports.onResult(of, 'failed', error))
      .finally(() => underWay.delete(key))
    const renewal = { since, ended }
    underWay.set(key, renewal)
    return renewal
  }
}

async function renewOnce(
  ports: RenewalPorts,
  of: CredentialRecord,
  declaration: CredentialDeclaration,
): Promise<void> {
  const lease = uuidV7(ports.clock.now(), 0, ports.vaulting.random(8))
  const [row] = await ports.sql.query(LEASE, [of.id, of.version, lease, REFRESH_LEASE_MS])
  if (row === undefined) return watch(ports, of)
  const held = recordOf(row)
  const answer = await ask(ports, held, declaration)
  if (answer === undefined) {
    await ports.sql.query(COOL, [held.id, lease, REFRESH_COOLDOWN_MS])
    return
  }
  // Order: a crash before this is written loses a refresh token that was used up, and costs a new connection.
  await again(() => write(ports, held, answer))
  ports.onChanged(held)
  ports.onResult(held, answer.renewed.kind)
}

/** `to`: where what it is of may be sent. */
type Answer = { readonly renewed: Renewed; readonly to: string }

/** Undefined: nobody knows what became of it. */
async function ask(
  { vaulting, renew, onResult }: RenewalPorts,
  held: CredentialRecord,
  declaration: CredentialDeclaration,
): Promise<Answer | undefined> {
  try {
    const { secret, to } = await unseal(vaulting.ring, held.envelope, held)
    if (!isRenewable(secret)) throw new Error(`a credential of kind ${secret.kind} has no token`)
    // Order: what could not be wrapped afterwards is not asked for; a refresh token would be used up.
    if ((await vaulting.ring.ids()).length === 0)
      throw new CredentialFault(`there is no key-encryption key in ${vaulting.ring.source}`)
    const signal = AbortSignal.timeout(TOKEN_REQUEST_TIMEOUT_MS)
    const { server } = held
    return { to, renewed: await renew({ secret, declaration, server, signal }) }
  } catch (error) {
    onResult(held, 'failed', error)
    return undefined
  }
}

/** Changes nothing twice: the statements name the version. */
async function write(
  { rows, sql, clock, vaulting }: RenewalPorts,
  held: CredentialRecord,
  { renewed, to }: Answer,
): Promise<void> {
  if (renewed.kind === 'refused') {
    await sql.query(RECONNECT, [held.id, held.version, renewed.why, REFRESH_COOLDOWN_MS])
    return
  }
  const { secret, issuer, scopes } = renewed
  const { envelope, key } = await seal(
    vaulting,
    { to, secret },
    { ...held, version: held.version + 1 },
  )
  const expires = new Date(secret.token?.expiresAt ?? 0)
  const written: Written = { kind: held.kind, names: [], envelope, issuer, scopes, expires }
  const made = await rows.update(held, new Date(clock.now()), written)
  if (made !== undefined) await underFirst({ rows, ring: vaulting.ring }, made, key)
}

async function again(work: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt === WRITE_ATTEMPTS) throw error
      await sleep(100 * 2 ** attempt)
    }
  }
}

/** Another PDP asks, or did in vain. Resolves when it is done, or its lease is over. */
async function watch({ sql, onChanged }: RenewalPorts, of: CredentialRecord): Promise<void> {
  for (;;) {
    const [row] = await sql.query(WATCH, [of.id, of.version])
    if (row === undefined) {
      onChanged(of)
      return
    }
    if (row['leased'] !== true) return
    await sleep(WATCH_MS)
  }
}

/** By the clock of the database: PDPs need not agree on one. */
const LEASE = `update credentials
  set lease_by = $3, lease_until = now() + make_interval(secs => $4::float8 / 1000), retry_after = null
  where id = $1 and version = $2 and (reconnect is null or kind = 'client_credentials')
    and (lease_until is null or lease_until < now()) and (retry_after is null or retry_after < now())
  returning ${CREDENTIAL_COLUMNS}`

const COOL = `update credentials
  set lease_by = null, lease_until = null, retry_after = now() + make_interval(secs => $3::float8 / 1000)
  where id = $1 and lease_by = $2`

/** What needs nobody's hand, client credentials, is tried again by a later call: the fault may be mended there. */
const RECONNECT = `update credentials set reconnect = $3, lease_by = null, lease_until = null,
    retry_after = now() + make_interval(secs => $4::float8 / 1000)
  where id = $1 and version = $2`

const WATCH = `select coalesce(lease_until >= now(), false) as leased
  from credentials where id = $1 and version = $2 and (reconnect is null or kind = 'client_credentials')`
