// Owns the bundles of the benchmark `cedar`: 400 tools on 20 servers, and as many policies as asked, of which at most 20 are
// global and at most 50 can match one call.
import { bundleFiles } from '../../../pdp/src/bundle/testing.ts'
import type { JsonObject } from '../../../schemas/strict-json.ts'

export const SERVERS = 20
export const TOOLS_EACH = 20
const GLOBAL_MAX = 20

const TEXT = { type: 'string' }
/** Seven typed arguments, as in facts of the engine. */
const INPUT = {
  properties: {
    owner: TEXT,
    repo: TEXT,
    title: TEXT,
    draft: { type: 'boolean' },
    count: { type: 'integer' },
    amount: { type: 'number' },
    labels: { type: 'array', items: TEXT },
  },
  required: ['owner', 'repo'],
}
export const ARGUMENTS: JsonObject = {
  owner: 'acme',
  repo: 'gate',
  title: 'a title of some length, as people write them',
  draft: false,
  count: 12,
  amount: 19.99,
  labels: ['bug', 'urgent'],
}

export const serverOf = (index: number): string => `server-${index}`
export const toolOf = (index: number): string => `tool-${index}`

/** Files of a bundle with this many policies, on this many servers. */
export function benchBundle(policies: number, servers = SERVERS, toolsEach = TOOLS_EACH) {
  const tools = Array.from({ length: toolsEach }, (_, index) => {
    return {
      name: toolOf(index),
      risk: index % 2 === 0 ? ('read' as const) : ('write' as const),
      inputSchema: INPUT,
    }
  })
  const ids = Array.from({ length: servers }, (_, index) => serverOf(index))
  const texts = Array.from({ length: policies }, (_, index) =>
    policyText(index, policies, servers, toolsEach),
  )
  const files: Record<string, string> = {}
  for (const [file, members] of Map.groupBy(texts, (_, index) => Math.floor(index / 1_000))) {
    files[`policies-${file}`] = members.join('\n')
  }
  return bundleFiles(Object.fromEntries(ids.map((id) => [id, { tools }])), files)
}

/** A fiftieth of them, and no more than GLOBAL_MAX, are about every call; each of the others is about one tool. */
function policyText(index: number, policies: number, servers: number, toolsEach: number): string {
  const global = Math.min(GLOBAL_MAX, Math.max(3, Math.floor(policies / 50)))
  if (index === 0) {
    return `@id("base/connect") permit (principal, action == MCP::Action::"connect", resource);`
  }
  if (index === 1) {
    return `@id("base/team") permit (principal in MCP::Team::"team-0", action in MCP::Action::"all", resource);`
  }
  if (index < global) {
    return `@id("base/global-${index}") forbid (principal in MCP::Team::"blocked-${index}", action in MCP::Action::"write", resource)
      when { context.args has count && context.args.count > ${index * 1_000} };`
  }
  const nth = index - global
  const server = serverOf(nth % servers)
  const tool = toolOf(Math.floor(nth / servers) % toolsEach)
  return `@id("t${nth % 7}/p-${index}") ${nth % 5 === 0 ? 'forbid' : 'permit'}
    (principal in MCP::Team::"team-${nth % 50}", action == MCP::Action::"${server}/${tool}", resource == MCP::Server::"${server}")
    when { context.args.owner like "own${index}*" && context.args has amount && context.args.amount.greaterThan(decimal("1.5")) };`
}
