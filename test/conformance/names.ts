// Owns what two runs may spell differently without differing: ids that a server, a gateway or the suite makes up. Each
// gets a name by the order in which it was first seen in its scenario; whoever then sends another one than it was given
// still shows.
import type { Exchange, Headers } from './exchange.ts'

/** Headers that belong to one hop, or to one moment. */
const OF_THE_HOP: ReadonlySet<string> = new Set([
  'connection', 'keep-alive', 'transfer-encoding', 'content-length', 'date', 'host',
]) // biome-ignore format: a list

/** The exchanges of one scenario as one party saw them, in one order, ids named. */
export function named(exchanges: readonly Exchange[]): Exchange[] {
  const names = new Map<string, string>()
  for (const exchange of exchanges) for (const [kind, id] of idsOf(exchange)) add(names, kind, id)
  const ids = [...names].toSorted(([a], [b]) => b.length - a.length)
  const numbers = new Map<string, string>()
  const rename = (text: string): string =>
    ids.reduce((so, [id, name]) => so.replaceAll(id, name), number(numbers, text))
  return exchanges.map((exchange) => renamed(exchange, rename))
}

/** The suite counts its JSON-RPC ids through all scenarios, or takes the time; what repeats one has the same name. */
function number(numbers: Map<string, string>, text: string): string {
  return text.replaceAll(
    /"(id|progressToken|requestId|io\.modelcontextprotocol\/subscriptionId)":(\d+)/g,
    (_, key: string, id: string) => {
      const name = numbers.get(id) ?? `<id ${numbers.size + 1}>`
      numbers.set(id, name)
      return `"${key}":"${name}"`
    },
  )
}

/** The same names, counted anew: of what is left when some exchanges are taken out. */
export function renumbered(exchanges: readonly Exchange[]): Exchange[] {
  const counts = new Map<string, number>()
  const names = new Map<string, string>()
  const rename = (text: string): string =>
    text.replaceAll(/<(id|session|state|task|event) \d+>/g, (name, kind: string) => {
      const found = names.get(name)
      if (found !== undefined) return found
      const nth = (counts.get(kind) ?? 0) + 1
      counts.set(kind, nth)
      names.set(name, `<${kind} ${nth}>`)
      return `<${kind} ${nth}>`
    })
  return exchanges.map((exchange) => renamed(exchange, rename))
}

function add(names: Map<string, string>, kind: string, id: string): void {
  if (names.has(id)) return
  const nth = [...names.values()].filter((name) => name.startsWith(`<${kind} `)).length + 1
  names.set(id, `<${kind} ${nth}>`)
}

type Id = readonly [kind: string, id: string]

function idsOf({ response }: Exchange): Id[] {
  const found: Id[] = []
  if (response === undefined) return found
  const { 'mcp-session-id': session, 'cedargate-decision': decision } = response.headers
  if (session !== undefined) found.push(['session', session])
  if (decision !== undefined) found.push(['decision', decision])
  for (const [, id = ''] of response.body.matchAll(/^id: ?(.+)$/gm)) found.push(['event', id])
  for (const [, key, id = ''] of response.body.matchAll(/"(requestState|taskId)":"([^"]+)"/g))
    found.push([key === 'taskId' ? 'task' : 'state', id])
  return found
}

function renamed({ scenario, request, response }: Exchange, rename: (text: string) => string) {
  return {
    scenario,
    // In this order in every run, so that names are counted alike.
    request: {
      ...request,
      body: rename(request.body),
      headers: renamedHeaders(request.headers, rename),
    },
    response: response && {
      ...response,
      headers: renamedHeaders(response.headers, rename),
      body: rename(response.body),
    },
  }
}

function renamedHeaders(headers: Headers, rename: (text: string) => string): Headers {
  const kept = Object.entries(headers).filter(([name]) => !OF_THE_HOP.has(name))
  const inOrder = kept.toSorted(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(inOrder.map(([name, value]) => [name, rename(value)]))
}
