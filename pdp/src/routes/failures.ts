// Owns how somebody unknown is answered: 401 with a challenge, and 429 where a source is unknown too often. Only failures
// count, so whoever has a valid credential is never held up. Counts by the socket's address; headers say nothing of it.
import type { Context } from 'hono'
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible'
import { AUTH_FAILURES_MAX, AUTH_FAILURES_MS } from '../../../schemas/limits.ts'
import { sourceKey } from '../../../schemas/source-key.ts'
import type { Unauthenticated } from '../../../schemas/unreadable.ts'

export type Failures = {
  /** Counts one failure of whoever sent this; answers 429 when there are too many of their source. */
  readonly count: (c: Context) => Promise<Response | undefined>
  /** Counts nothing; answers 429 where as many are of their source already: before somebody else is asked for them. */
  readonly held: (c: Context) => Promise<Response | undefined>
  /** Counts one failure of whoever sent this, and answers it. */
  readonly refuse: (c: Context, message: string) => Promise<Response>
}

/** `max` failures of one source in AUTH_FAILURES_MS are answered 401, those beyond 429. */
export function countFailures(max = AUTH_FAILURES_MAX): Failures {
  const limiter = new RateLimiterMemory({
    points: max,
    duration: AUTH_FAILURES_MS / 1_000,
  })
  return { count, held, refuse }

  async function count(c: Context): Promise<Response | undefined> {
    const counted = await limiter.penalty(sourceOf(c))
    return counted.consumedPoints <= max ? undefined : tooMany(c, counted)
  }

  async function held(c: Context): Promise<Response | undefined> {
    const counted = await limiter.get(sourceOf(c))
    return counted === null || counted.consumedPoints < max ? undefined : tooMany(c, counted)
  }

  async function refuse(c: Context, message: string): Promise<Response> {
    const refused = await count(c)
    if (refused !== undefined) return refused
    const came = c.req.header('authorization') !== undefined
    c.header('www-authenticate', came ? INVALID_TOKEN : 'Bearer')
    return c.json({ code: 'unauthenticated', message }, 401)
  }
}

function tooMany(c: Context, { msBeforeNext }: RateLimiterRes): Response {
  c.header('retry-after', String(Math.ceil(msBeforeNext / 1_000)))
  const message = 'too many requests of this source failed to authenticate'
  return c.json({ code: 'too_many_requests', message }, 429)
}

function sourceOf(c: Context): string {
  return sourceKey(addressOf(c))
}

const INVALID_TOKEN = 'Bearer error="invalid_token"'

/** The answer to a token that node:http could not read. It is no failure of a source: nothing was looked up. */
export function answerUnreadToken(): Unauthenticated {
  const message = 'the Authorization header is too long, or holds what no token has'
  return {
    headers: { 'www-authenticate': INVALID_TOKEN, 'content-type': 'application/json' },
    body: JSON.stringify({ code: 'unauthenticated', message }),
  }
}

type NodeEnv = { readonly incoming?: { readonly socket: { readonly remoteAddress?: string } } }

/** Of the peer; undefined over a Unix socket and in process. */
export function addressOf(c: Context): string | undefined {
  return (c.env as NodeEnv | undefined)?.incoming?.socket.remoteAddress
}
