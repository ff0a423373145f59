// Owns that nothing an operator orders is done before it is recorded, and that how it ended is recorded after. Knows no act
// by itself: each route says what it is called and what of its request is kept.
import type { Context, MiddlewareHandler } from 'hono'
import { z } from 'zod'
import { type Canonical, canonicalJson } from '../../../schemas/canonical-json.ts'
import type { Acts, Order } from '../ledger/acts.ts'
import { jsonBody } from './body.ts'
import { invalid } from './read.ts'
import type { PdpEnv } from './roles.ts'

/**
 * `name` as it is recorded: `grants.revoke`. Recorded besides are the path's parameters and the body as `body` reads it,
 * so it must not hold a secret; null: there is no body. `handler`: the handler records by itself, because it alone knows
 * by whom, or whether there is anything to record.
 */
export type ActRule = { readonly name: string; readonly body: z.ZodType | null | 'handler' }

/** Answers what `work` answers, or 503 when the order cannot be committed; then `work` was not called. */
export type Recorder = (
  c: Context<PdpEnv>,
  order: Order,
  work: () => Promise<Response>,
) => Promise<Response>

/** `onFailure` is told what could not be committed now. */
export function createRecorder(acts: Acts, onFailure: (error: unknown) => void): Recorder {
  const end = (act: string, status: number): Promise<void> => acts.end(act, status).catch(onFailure)
  return async function record(c, order, work) {
    let act: string
    try {
      act = await acts.begin(order)
    } catch (error) {
      onFailure(error)
      const message = 'the record of this cannot be written, so it was not done'
      return c.json({ code: 'record_unavailable', message }, 503)
    }
    try {
      const answer = await work()
      await end(act, answer.status)
      return answer
    } catch (error) {
      await end(act, 500)
      throw error
    }
  }
}

/** Refuses a body that is not as the rule says, 400: what was not recorded is not done. */
export function recordAct(record: Recorder, { name, body }: ActRule): MiddlewareHandler<PdpEnv> {
  return async function recorded(c, next) {
    if (body === 'handler') return next()
    const read = body === null ? undefined : body.safeParse(jsonBody(c))
    if (read?.success === false) return invalid(c, z.prettifyError(read.error))
    const what = { ...c.req.param(), ...(read?.data as Record<string, Canonical> | undefined) }
    if (!hasCanonicalForm(what)) return invalid(c, 'a text holds half a character')
    const caller = c.get('caller')
    if (caller.kind !== 'operator') throw new Error(`${name} is not ordered by an operator`)
    return record(c, { user: caller.user, act: name, what }, async () => {
      await next()
      return c.res
    })
  }
}

function hasCanonicalForm(what: Canonical): boolean {
  try {
    canonicalJson(what)
    return true
  } catch {
    return false // A lone surrogate: the databases refuse it, too.
  }
}
