// Which scopes can match an action on a server. That cutting changes no decision is shown in decisions.test.ts.
import { expect, test } from 'vitest'
import type { PolicyJson, ScopeJson } from '../../../schemas/cedar.ts'
import { PolicyIndex } from './slices.ts'

const action = (id: string) => ({ type: 'MCP::Action', id })
const server = (id: string) => ({ type: 'MCP::Server', id })
const ALL: ScopeJson = { op: 'All' }
const TARGET = {
  action: 'MCP::Action::"files/read"',
  groups: new Set(['read', 'all', 'server:files'].map((id) => `MCP::Action::"${id}"`)),
  server: 'files',
}

test.each<{ name: string; scope: Partial<PolicyJson>; want: boolean }>([
  { name: 'anything', scope: {}, want: true },
  { name: 'this action', scope: { action: { op: '==', entity: action('files/read') } }, want: true },
  { name: 'another action', scope: { action: { op: '==', entity: action('files/write') } }, want: false },
  { name: 'its group, which it is in, not is', scope: { action: { op: '==', entity: action('read') } }, want: false },
  { name: 'in its group', scope: { action: { op: 'in', entity: action('read') } }, want: true },
  { name: 'in a group above', scope: { action: { op: 'in', entity: action('all') } }, want: true },
  { name: 'in itself', scope: { action: { op: 'in', entity: action('files/read') } }, want: true },
  { name: 'in another group', scope: { action: { op: 'in', entity: action('write') } }, want: false },
  { name: 'in one of several', scope: { action: { op: 'in', entities: [action('write'), action('read')] } }, want: true },
  { name: 'in none of several', scope: { action: { op: 'in', entities: [action('write')] } }, want: false },
  { name: 'in nothing', scope: { action: { op: 'in', entities: [] } }, want: false },
  { name: 'this server', scope: { resource: { op: '==', entity: server('files') } }, want: true },
  { name: 'in this server', scope: { resource: { op: 'in', entity: server('files') } }, want: true },
  { name: 'another server', scope: { resource: { op: '==', entity: server('mail') } }, want: false },
  { name: 'what is no server', scope: { resource: { op: '==', entity: { type: 'MCP::Team', id: 'files' } } }, want: false },
  { name: 'any server', scope: { resource: { op: 'is' } }, want: true },
  { name: 'an entity that is spelled in another way', scope: { action: { op: '==', entity: { __entity: action('x') } as never } }, want: true },
  { name: 'a scope that is not known', scope: { resource: { op: 'near', entity: server('mail') } }, want: true },
])('$name: $want', ({ scope, want }) => {
  const policy: PolicyJson = { effect: 'permit', principal: ALL, action: ALL, resource: ALL, conditions: [], ...scope }
  expect(new PolicyIndex([{ policy }]).matching(TARGET).length).toBe(want ? 1 : 0)
}) // biome-ignore format: a table
