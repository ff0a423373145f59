// Owns what a person sees when `dev` has started: three decided calls, then how to point a client at the gateway.
import { styleText } from 'node:util'
import { printable, type Terminal } from '../output.ts'
import type { Facts } from './home.ts'
import type { Shown } from './self-check.ts'

const NOT_A_BOUNDARY =
  'dev is no boundary against other programs of your OS user: they can read its keys and tokens.'

export type Announcement = {
  readonly facts: Facts
  readonly shown: readonly Shown[]
  readonly bundle: string
  /** What the database survives, in words. */
  readonly durability: string
}

export function announce(io: Terminal, { facts, shown, bundle, durability }: Announcement): void {
  for (const { check, decision, answer } of shown) {
    const call = `${check.user} → ${check.server}/${check.tool} ${JSON.stringify(check.arguments)}`
    const colour = decision.verdict === 'allow' ? 'green' : 'red'
    io.out('')
    io.out(styleText('bold', `${check.shows}:`))
    io.out(`  ${printable(call)}`)
    io.out(`  ${styleText(colour, decision.verdict)} (${decision.code})`)
    io.out(`  policies  ${decision.policies.join(', ') || 'none permits it'}`)
    io.out(`  decision  ${decision.id}`)
    io.out(`  answer    ${printable(answer)}`)
  }
  io.out('')
  io.out(`gateway    ${facts.pepUrl}/t/<server>/mcp   servers: ${facts.servers.join(', ')}`)
  io.out(`decisions  ${facts.pdpUrl}   bundle ${bundle.slice(0, 12)}   ${durability}`)
  for (const [user, { token }] of Object.entries(facts.users)) io.out(`${user.padEnd(10)} ${token}`)
  const [user, credentials] = Object.entries(facts.users)[0] ?? []
  if (user !== undefined && credentials !== undefined)
    announceClients(io, facts, user, credentials.token)
  io.out('')
  io.out('see        npx cedargate decisions ls     more: npx cedargate --help')
  io.out(styleText('yellow', NOT_A_BOUNDARY))
}

function announceClients(
  io: Terminal,
  { pepUrl, servers }: Facts,
  user: string,
  token: string,
): void {
  const urls = servers.map((server) => ({
    name: `cedargate-${server}`,
    url: `${pepUrl}/t/${server}/mcp`,
  }))
  const byName = (of: (url: string) => object): string =>
    JSON.stringify(Object.fromEntries(urls.map(({ name, url }) => [name, of(url)])))
  io.out('')
  io.out(
    styleText('bold', `Point your client at it (as ${user}); first: export MCP_TOKEN=${token}`),
  )
  io.out('# Claude Code')
  for (const { name, url } of urls) {
    io.out(
      `claude mcp add --transport http ${name} ${url} --header "Authorization: Bearer $MCP_TOKEN"`,
    )
  }
  io.out('# Codex: ~/.codex/config.toml')
  for (const { name, url } of urls) {
    io.out(`[mcp_servers.${name}]\nurl = "${url}"\nbearer_token_env_var = "MCP_TOKEN"`)
  }
  io.out('# Cursor: .cursor/mcp.json')
  io.out(
    `{"mcpServers":${byName((url) => ({ url, headers: { Authorization: 'Bearer ${env:MCP_TOKEN}' } }))}}`,
  )
  io.out('# VS Code: .vscode/mcp.json')
  io.out(
    `{"inputs":[{"type":"promptString","id":"cedargate","description":"Cedargate token","password":true}],` +
      `"servers":${byName((url) => ({ type: 'http', url, headers: { Authorization: 'Bearer ${input:cedargate}' } }))}}`,
  )
}
