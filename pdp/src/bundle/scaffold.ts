// Owns the draft of a server's first policies, made from the risk groups of its lock. Pure; a draft is for a person to
// read and change, and nothing here says that it is right.
import type { Risk } from '../../../schemas/bundle.ts'
import { CONNECT_ACTION } from '../../../schemas/mcp.ts'

export type Draft = {
  readonly server: string
  /** Prefix of the policy ids, and their owner. */
  readonly owner: string
  /** Team that may read, and that decides on writing. */
  readonly team: string
  readonly tools: readonly { readonly name: string; readonly risk: Risk }[]
}

/**
 * The text of a .cedar file: the team may connect and read; writing waits for an approval, which is a plain forbid
 * until approvals exist; what is destructive, or hides what it would write, is forbidden. Only groups that the server
 * has tools in get a policy. Ids, teams and owners must be spelled as their schemas say: they are NOT escaped.
 */
export function draftPolicies(draft: Draft): string {
  const { server, team, tools } = draft
  const has = (...risks: Risk[]): boolean => tools.some(({ risk }) => risks.includes(risk))
  const policies = [
    policy(draft, {
      slug: 'connect',
      says: 'Speaking to the server at all: initialize, ping, lists.',
      reason: `${team} may connect to ${server}`,
      scope: `permit (\n  principal in MCP::Team::"${team}",\n  action == MCP::Action::"${CONNECT_ACTION}",`,
    }),
    has('read') &&
      policy(draft, {
        slug: 'read',
        says: listed('Reviewed as `read`', tools, 'read'),
        reason: `${team} may read on ${server}`,
        scope: `permit (\n  principal in MCP::Team::"${team}",\n  action in MCP::Action::"read",`,
      }),
    has('write', 'destructive') && writes(draft),
    has('destructive') &&
      policy(draft, {
        slug: 'destroy',
        says: listed('Reviewed as `destructive`', tools, 'destructive'),
        reason: `what cannot be undone is not done through the gateway on ${server}`,
        scope: 'forbid (\n  principal,\n  action in MCP::Action::"destructive",',
      }),
  ]
  return `${[header(draft), ...policies.filter((text) => text !== false)].join('\n\n')}\n`
}

function header({ server }: Draft): string {
  return (
    `// Draft policies of the server ${server}, from the risk groups of its tools.lock.json: read every one, then\n` +
    '// change it. Tools that are locked later fall under the group they are reviewed as.'
  )
}

/** What is destructive is in the group `write` as well. */
function writes(draft: Draft): string {
  const { server, team, tools } = draft
  const scope = 'forbid (\n  principal,\n  action in MCP::Action::"write",'
  const softened = policy(draft, {
    slug: 'write-needs-approval',
    says:
      `${listed('Reviewed as `write`', tools, 'write')}\n` +
      '// Until approvals exist this forbids; then whoever may write still needs a permit beside it.',
    annotation: `@require_approval("group=${team};count=1;ttl=PT15M")`,
    reason: `changing something on ${server} needs the approval of ${team}`,
    scope,
  })
  const opaque = policy(draft, {
    slug: 'write-in-the-open',
    says: 'An argument that policies cannot read could hide what is written.',
    reason: 'an argument of this call cannot be read by policy',
    scope,
    when: `when { ${OPAQUE} }`,
  })
  return `${softened}\n\n${opaque}`
}

const OPAQUE = '!context.argsMeta.opaque.isEmpty()'

function listed(what: string, tools: Draft['tools'], risk: Risk): string {
  const names = new Set(tools.filter((tool) => tool.risk === risk).map(({ name }) => name))
  if (names.size === 0) return `${what}: none yet.`
  const plain = [...names].map((name) => name.replaceAll(/[^\x21-\x7e]/g, '?'))
  return [`${what}:`, ...plain.map((name) => `- ${name}`)].join('\n// ')
}

type Parts = {
  readonly slug: string
  readonly says: string
  readonly reason: string
  readonly scope: string
  readonly annotation?: string
  readonly when?: string
}

function policy({ server, owner }: Draft, { slug, says, reason, scope, ...more }: Parts): string {
  return [
    `// ${says}`,
    `@id("${owner}/${owner === server ? slug : `${server}-${slug}`}")`,
    `@owner("${owner}")`,
    ...(more.annotation === undefined ? [] : [more.annotation]),
    `@reason("${reason}")`,
    scope,
    `  resource == MCP::Server::"${server}"`,
    more.when === undefined ? ');' : `)\n${more.when};`,
  ].join('\n')
}
