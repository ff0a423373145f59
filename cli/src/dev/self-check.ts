// Owns the calls by which a starting gateway proves itself: made through the PEP with a real MCP client, and
// compared with what the record says. Decides nothing itself.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import type { DecisionRow } from '../../../schemas/decisions-api.ts'
import { CommandError } from '../errors.ts'
import type { Check } from './demo.ts'

export type Shown = {
  readonly check: Check
  readonly decision: DecisionRow
  readonly answer: string
}

type Ports = {
  /** Base URL of the PEP, no trailing slash. */
  readonly pepUrl: string
  readonly tokenOf: (user: string) => string
  readonly showDecision: (id: string) => Promise<DecisionRow | undefined>
}

/** Header on every answer the PEP gives to a decided message. */
const DECISION_HEADER = 'cedargate-decision'

/**
 * Makes every call. Throws CommandError for the first of `checks` that is not decided as expected, when all are over:
 * a call left under way would wait for an answer that a stopped gateway never gives.
 */
export async function selfCheck(ports: Ports, checks: readonly Check[]): Promise<Shown[]> {
  const made = new Map<Check, PromiseSettledResult<Shown>>()
  const sessions = Map.groupBy(checks, ({ user, server }) => `${server} ${user}`)
  await Promise.all([...sessions.values()].map((own) => runSession(ports, own, made)))
  return checks.map((check) => {
    const one = made.get(check)
    if (one?.status === 'fulfilled') return one.value
    throw one?.reason
  })
}

/** The checks of one person at one server, one after the other, by one client. Never rejects: `made` says it. */
async function runSession(
  { pepUrl, tokenOf, showDecision }: Ports,
  checks: readonly Check[],
  made: Map<Check, PromiseSettledResult<Shown>>,
): Promise<void> {
  const [{ user, server }] = checks as [Check]
  let decisionId = ''
  const client = new Client({ name: 'cedargate-self-check', version: '1' })
  const transport = new StreamableHTTPClientTransport(new URL(`${pepUrl}/${server}/mcp`), {
    requestInit: { headers: { authorization: `Bearer ${tokenOf(user)}` } },
    fetch: async (url, init) => {
      const answer = await fetch(url, init)
      // The client asks more than this call, a stream among it, and its answers come in any order.
      if (isToolCall(init?.body)) decisionId = answer.headers.get(DECISION_HEADER) ?? ''
      return answer
    },
  })
  const connected = client.connect(transport)
  const runCheck = async (check: Check): Promise<Shown> => {
    await connected
    decisionId = ''
    const result = await client.callTool({ name: check.tool, arguments: check.arguments })
    const decision = await showDecision(decisionId)
    if (decision === undefined)
      throw new CommandError(`no decision is recorded for: ${check.shows}`)
    compare(check, decision, result.isError === true)
    return { check, decision, answer: firstText(result.content) }
  }
  for (const check of checks) {
    const [one] = await Promise.allSettled([
      runCheck(check).catch((cause) => Promise.reject(refusal(check, cause))),
    ])
    made.set(check, one)
  }
  await client.close()
}

function refusal({ shows }: Check, cause: unknown): CommandError {
  if (cause instanceof CommandError) return cause
  const why = cause instanceof Error ? cause.message : String(cause)
  return new CommandError(`the self-check «${shows}» could not be made: ${why}`, { exit: 1, cause })
}

function compare({ shows, expect, tool }: Check, decision: DecisionRow, isError: boolean): void {
  const got = { verdict: decision.verdict, code: decision.code, policies: decision.policies }
  const want = { ...expect, policies: expect.policies.toSorted() }
  const agrees = JSON.stringify(got) === JSON.stringify(want) && decision.tool === tool
  if (agrees && isError === (expect.verdict === 'deny')) return
  throw new CommandError(
    `the self-check «${shows}» was decided ${JSON.stringify(got)}${isError ? ' and answered an error' : ''},` +
      ` expected ${JSON.stringify(want)}; the gateway does not serve`,
    { exit: 1, hint: 'mend the policies, or the expectation in dev.yaml' },
  )
}

function isToolCall(body: unknown): boolean {
  if (typeof body !== 'string') return false
  return (JSON.parse(body) as { method?: unknown }).method === 'tools/call'
}

function firstText(content: unknown): string {
  const [first] = Array.isArray(content) ? (content as { text?: unknown }[]) : []
  return typeof first?.text === 'string' ? first.text : ''
}
