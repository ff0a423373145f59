// Owns a small bundle for the tests of this room. Never used outside tests.
import { tmpdir } from 'node:os'
import type { Bundle } from '../bundle/bundle.ts'
import { loadBundle } from '../bundle/load.ts'
import type { TestServer } from '../bundle/testing.ts'
import { bundleFiles, withFiles } from '../bundle/testing.ts'

export const SERVERS: Readonly<Record<string, TestServer>> = {
  shop: {
    tools: [
      { name: 'find', inputSchema: { properties: { word: { type: 'string' } } } },
      {
        name: 'order',
        risk: 'write',
        inputSchema: {
          properties: { amount: { type: 'integer' }, note: { type: 'string' } },
          required: ['amount'],
        },
      },
    ],
  },
}
const STAFF = 'principal in MCP::Team::"staff"'
export const POLICIES = {
  shop: `@id("shop/connect") permit(${STAFF}, action == MCP::Action::"connect", resource);
@id("shop/find") permit(${STAFF}, action in MCP::Action::"read", resource);
@id("shop/order") permit(${STAFF}, action == MCP::Action::"shop/order", resource)
  when { context.args.amount < 100 && context.args has note && context.args.note like "ok*" }
  unless { context.agent == MCP::Agent::"rogue" };
@id("shop/no-overflow") forbid(principal, action == MCP::Action::"shop/order", resource)
  when { context.args.amount * 9007199254740991 < 0 };
`,
}

/** The bundle of SERVERS with these policies. */
export function loadTestBundle(
  policies: Readonly<Record<string, string>> = POLICIES,
  servers = SERVERS,
): Promise<Bundle> {
  return withFiles(tmpdir(), bundleFiles(servers, policies), (directory) =>
    loadBundle(directory, { env: {} }),
  )
}
