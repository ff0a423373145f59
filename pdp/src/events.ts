// Owns telling PEPs what changed while their streams are open. Acceleration only: no promise rests on an event arriving.
// While it cannot be known what was revoked, nobody is left to believe that nothing was: their subscriptions end.
import type { Sql } from '../../schemas/database/sql.ts'
import { EVENTS_LOOKBACK_MS } from '../../schemas/limits.ts'
import type { PepEvent } from '../../schemas/pep-api.ts'
import type { Clock } from '../../schemas/ports.ts'
import type { ChangeFeed, Heard } from './identity/change-feed.ts'
import type { Origin } from './identity/changes.ts'
import { FROM_GRANTS, IN_FORCE } from './identity/grant.ts'

export type Subscriber = {
  readonly onEvent: (event: PepEvent) => void
  /** Nothing more will be told. */
  readonly onEnd: () => void
}

export type Events = {
  /** Resolves when what was revoked is known up to now; throws when it cannot be. Ask before anybody subscribes. */
  readonly ready: () => Promise<void>
  /**
   * Calls back for each event until the signal aborts. Resolves when what changed in the last minute has been told. Never
   * rejects: what cannot be told ends it.
   */
  readonly subscribe: (subscriber: Subscriber, signal: AbortSignal) => Promise<void>
  readonly stop: () => void
}

type Ports = {
  /** Answers in time or not at all: what cannot be told ends subscriptions. */
  readonly prompt: Sql
  readonly feed: Pick<ChangeFeed, 'subscribe' | 'refresh'>
  /** Calls back with each bundle that becomes active, until the signal aborts. */
  readonly activated: (onActivated: (bundle: string) => void, signal: AbortSignal) => void
  readonly clock: Clock
  readonly onFailure: (error: unknown) => void
}

export function watchEvents({ prompt, feed, activated, clock, onFailure }: Ports): Events {
  const subscribers = new Set<Subscriber>()
  const endAll = (): void => {
    const ended = [...subscribers]
    subscribers.clear()
    for (const { onEnd } of ended) onEnd()
  }
  let told = Promise.resolve()
  // One after the other: what was so earlier must not be told last.
  const tellTo = (
    to: ReadonlySet<Subscriber>,
    changed: () => Promise<readonly Origin[]>,
  ): Promise<void> => {
    const telling = told.then(async () => {
      const events = await eventsOf(prompt, await changed(), new Date(clock.now()))
      for (const event of events) for (const { onEvent } of to) onEvent(event)
    })
    told = telling.catch(() => {})
    return telling
  }
  const hear = (heard: Heard): void => {
    if (heard === 'lost') endAll()
    if (heard === 'lost' || heard.length === 0 || subscribers.size === 0) return
    const changed = async () => (heard === 'all' ? changedLately(prompt) : heard)
    tellTo(subscribers, changed).catch((error: unknown) => {
      onFailure(error)
      endAll()
    })
  }
  const stopping = new AbortController()
  feed.subscribe(hear, stopping.signal)
  activated((bundle) => {
    for (const { onEvent } of subscribers) onEvent({ kind: 'bundle', bundle })
  }, stopping.signal)
  return {
    ready: () => feed.refresh(),
    async subscribe(subscriber, signal) {
      subscribers.add(subscriber)
      signal.addEventListener('abort', () => subscribers.delete(subscriber), { once: true })
      await tellTo(new Set([subscriber]), () => changedLately(prompt)).catch((error: unknown) => {
        onFailure(error)
        if (subscribers.delete(subscriber)) subscriber.onEnd()
      })
    },
    stop: () => stopping.abort(),
  }
}

async function changedLately(sql: Sql): Promise<Origin[]> {
  const rows = await sql.query(
    `select distinct kind, id from identity_change where at > now() - make_interval(secs => $1)`,
    [EVENTS_LOOKBACK_MS / 1_000],
  )
  return rows.map((row) => ({ kind: row['kind'] as string, id: row['id'] as string }))
}

/** One for each grant that a change was about. One that is good for nothing now is revoked, whatever was done to it. */
async function eventsOf(sql: Sql, changed: readonly Origin[], now: Date): Promise<PepEvent[]> {
  const idsOf = (kind: string): string[] =>
    changed.flatMap((origin) => (origin.kind === kind ? [origin.id] : []))
  const grants = idsOf('grant').filter((id) => UUID.test(id))
  const asked = [grants, idsOf('user'), idsOf('agent')]
  if (asked.every((ids) => ids.length === 0)) return []
  const rows = await sql.query(TOLD, [...asked, now])
  const own = new Set(grants)
  const gone = new Set(grants)
  for (const row of rows) gone.delete(row['id'] as string)
  return [
    ...[...gone].map((grant) => ({ kind: 'revoked' as const, grant })),
    ...rows.map((row) => {
      const grant = row['id'] as string
      if (row['in_force'] !== true) return { kind: 'revoked' as const, grant }
      return { kind: own.has(grant) ? ('changed' as const) : ('standing' as const), grant }
    }),
  ]
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Of a user or an agent, the grants that would be in force without it. */
const TOLD = `select g.id, g.expires > $4 and ${IN_FORCE} as in_force
  ${FROM_GRANTS}
  where g.id = any($1::uuid[]) or (g.revoked is null and g.expires > $4
    and (g.user_id = any($2::text[]) or g.agent = any($3::text[])))`
