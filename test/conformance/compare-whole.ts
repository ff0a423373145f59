// Owns what can only be said of a whole run: that streams were answered, and that nothing a server gave out was shown
// as it is.
import type { Difference } from './difference.ts'
import type { Exchange } from './exchange.ts'

/** How many GET streams may stay unanswered in a whole run because their client had left. */
const LEFT_SHARE_MAX = 0.5

/** That clients got their GET streams, although single ones may have left before. */
export function* compareLeft(
  direct: readonly Exchange[],
  through: readonly Exchange[],
): Generator<Difference> {
  const streams = through.filter(({ request }) => request.method === 'GET')
  const left = streams.filter(({ response }) => response === undefined)
  if (left.length <= streams.length * LEFT_SHARE_MAX) return
  const answered = direct.filter(({ request, response }) => request.method === 'GET' && response)
  yield {
    scenario: 'all of them',
    where: 'GET streams',
    direct: `${answered.length} were answered`,
    through: `${left.length} of ${streams.length} were not answered while their client was there`,
  }
}

/** What the server gives out to whoever holds it must reach a client bound to its grant: under another spelling. */
export function* compareBound(
  client: readonly Exchange[],
  upstream: readonly Exchange[],
): Generator<Difference> {
  const own = new Set(upstream.flatMap(boundIds).map(({ id }) => id))
  const shown = new Map(
    client.flatMap((exchange) =>
      boundIds(exchange)
        .filter(({ id }) => own.has(id))
        .map(({ what }) => [`${exchange.scenario} ${what}`, { scenario: exchange.scenario, what }]),
    ),
  )
  for (const { scenario, what } of shown.values()) {
    const where = `${what} is not bound`
    yield {
      scenario,
      where,
      direct: 'the server’s own',
      through: 'the server’s own, to the client',
    }
  }
}

function boundIds({ response }: Exchange): { what: string; id: string }[] {
  if (response === undefined) return []
  const session = response.headers['mcp-session-id']
  const inBody = response.body.matchAll(/"(requestState|taskId)":"([^"]+)"/g)
  return [
    ...(session === undefined ? [] : [{ what: 'session', id: session }]),
    ...[...inBody].map(([, what = '', id = '']) => ({ what, id })),
  ]
}
