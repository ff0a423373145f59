// What a bundle brings beside MCP: each mistake is found where it is written, and a stored bundle is the same when it is
// read again.
import { tmpdir } from 'node:os'
import { describe, expect, test } from 'vitest'
import type { Bundle } from './bundle.ts'
import { readContent, storedFiles } from './content.ts'
import { BundleError, findingLine } from './findings.ts'
import { loadBundle, loadFiles } from './load.ts'
import { bundleFiles, withFiles } from './testing.ts'

const GATEWAY = 'name: Test\ntrustRequestProperties: true\n'
const SCHEMA = `entity user in [group] = { role?: String };
entity group;
namespace Photo {
  type Place = { city: String, pos?: { x: Long } };
  entity Album = { owner: user, place?: Place };
  action anything;
  action view, edit in [anything] appliesTo {
    principal: user, resource: Album, context: { via?: Place }
  };
}
`
const ENTITIES = `[
  { "uid": { "type": "user", "id": "ada" }, "attrs": {}, "parents": [{ "type": "group", "id": "g" }] },
  { "uid": { "type": "Photo::Album", "id": "a" },
    "attrs": { "owner": { "type": "user", "id": "ada" } }, "parents": [] }
]
`
const POLICY = `@id("photo/owners")
permit (principal, action in Photo::Action::"anything", resource is Photo::Album)
when { resource.owner == principal };
`
const FILES = {
  ...bundleFiles({ files: { tools: [{ name: 'read' }] } }, { p: POLICY }),
  'gateway.yaml': GATEWAY,
  'schema/photo.cedarschema': SCHEMA,
  'entities/people.json': ENTITIES,
}

function load(files: Record<string, string>): Promise<Bundle> {
  return withFiles(tmpdir(), files, (directory) => loadBundle(directory, { env: {} }))
}
async function findings(files: Record<string, string>): Promise<string[]> {
  const error = await load(files).catch((found: unknown) => found)
  if (error instanceof BundleError) return error.findings.map(findingLine)
  throw error
}

const schema = (text: string) => ({ 'gateway.yaml': GATEWAY, 'schema/s.cedarschema': text })
const entities = (text: string) => ({
  ...schema(SCHEMA),
  'entities/e.json': text,
})
const user = (id: string, attrs = '{}') =>
  `{ "uid": { "type": "user", "id": "${id}" }, "attrs": ${attrs}, "parents": [] }`

const asMatcher = (line: string | RegExp): unknown =>
  typeof line === 'string' ? line : expect.stringMatching(line)

type Wrong = { name: string; files: Record<string, string>; want: (string | RegExp)[] }
test.each<Wrong>([
  { name: 'the namespace of the gateway', files: schema('// MCP\nnamespace MCP { entity x; }'), want: ["schema/s.cedarschema:2:11: the namespace MCP is the gateway's own"] },
  { name: 'one below it', files: schema('namespace MCP::Mine { entity x; }'), want: [/^schema\/s\.cedarschema:1:11: the namespace MCP/] },
  { name: 'a type of the gateway', files: schema('entity user;\nentity UserX, User;'), want: ["schema/s.cedarschema:2:15: `User` is a name of the gateway's; declare yours in a namespace"] },
  { name: 'a common type of the gateway', files: schema('type Grant = Long;'), want: [/^schema\/s\.cedarschema:1:6: `Grant` is a name/] },
  { name: 'actions of the gateway', files: schema('// action "read";\naction view, "read";\naction connect;'), want: [/^schema\/s\.cedarschema:3:8: `connect` is a name/, /^schema\/s\.cedarschema:2:15: `read` is a name/] },
  { name: 'a type of the gateway, in JSON', files: { 'gateway.yaml': GATEWAY, 'schema/s.cedarschema.json': '{"": {"actions": {},\n "entityTypes": {"User": {}}}}' }, want: [/^schema\/s\.cedarschema\.json:2:19: `User` is a name/] },
  { name: 'no schema', files: schema('entity user;\nentity a = b'), want: [/^schema\/s\.cedarschema:2:\d+: /] },
  { name: 'no schema, in the second file', files: { ...schema('entity user;\n'), 'schema/t.cedarschema': '\nentity {' }, want: [/^schema\/t\.cedarschema:2:8: /] },
  { name: 'a type that is nowhere declared', files: schema('action view appliesTo { principal: user, resource: user };'), want: [/^schema\/s\.cedarschema:1:\d+: .*user/] },
  { name: 'a schema in JSON that is none', files: { 'gateway.yaml': GATEWAY, 'schema/s.cedarschema.json': '{"": {"entityTypes": {}}}' }, want: [/^schema\/s\.cedarschema\.json:1:1: .*actions/] },
  { name: 'a schema in JSON that is no JSON', files: { 'gateway.yaml': GATEWAY, 'schema/s.cedarschema.json': '{\n"a": 1,\n"a": 2}' }, want: [/^schema\/s\.cedarschema\.json:3:\d+: .*the same key twice/] },
  { name: 'a schema in JSON beside another', files: { ...schema('entity user;'), 'schema/t.cedarschema.json': '{}' }, want: ['schema/t.cedarschema.json:1:1: a schema in JSON must be the only one'] },
  { name: 'entities without a schema', files: { 'gateway.yaml': GATEWAY, 'entities/e.json': '[]' }, want: ['entities/e.json:1:1: there is no schema/ for entities'] },
  { name: 'an entity that does not fit', files: entities(`[\n  ${user('ada')},\n  ${user('bob', '{ "role": 5 }')},\n  ${user('eve')}\n]`), want: [/^entities\/e\.json:3:3: .*role/] },
  { name: 'an entity of no type here', files: entities(`[${user('ada').replace('"user"', '"robot"')}]`), want: [/^entities\/e\.json:1:2: .*robot/] },
  { name: 'an attribute that is not declared', files: entities(`[${user('ada', '{ "age": 5 }')}]`), want: [/^entities\/e\.json:1:2: .*age/] },
  { name: 'an entity of the gateway', files: entities(`[${user('ada').replace('"user"', '"MCP::User"')}]`), want: [/^entities\/e\.json:1:2: .*MCP::User/] },
  { name: 'an entity twice', files: entities(`[\n${user('ada')},\n ${user('ada')}]`), want: [/^entities\/e\.json:3:2: .*ada/] },
  { name: 'an entity twice, in two files', files: { ...entities(`[${user('ada')}]`), 'entities/f.json': `[${user('bob')},\n${user('ada')}]` }, want: ['entities/f.json:2:1: the entity user::"ada" is there twice'] },
  { name: 'entities that are no list', files: entities('{}'), want: ['entities/e.json:1:1: a list of entities is expected'] },
  { name: 'entities that are no JSON', files: entities('[\n{]'), want: ['entities/e.json:1:1: the text is not JSON'] },
  { name: 'an entity written as Cedar’s escape', files: entities('[{"uid": {"__entity": {"type": "user", "id": "ada"}}}]'), want: [/^entities\/e\.json:1:\d+: .*__entity/] },
  { name: 'something that is no entity', files: entities(`[${user('ada')}, 7]`), want: [/^entities\/e\.json:1:\d+: /] },
  { name: 'a policy about an attribute that is none', files: { ...FILES, 'cedar/p.cedar': POLICY.replace('resource.owner', 'resource.owned') }, want: [/^cedar\/p\.cedar:3:8: .*owned/] },
  { name: 'another file beside the schema', files: { ...FILES, 'schema/x.txt': '' }, want: [/^schema\/x\.txt:1:1: only \*\.cedarschema/] },
])('$name is found', async ({ files, want }) => {
  const found = await findings(files)
  expect(found).toEqual(want.map(asMatcher))
}) // biome-ignore format: a table

/** What of a bundle is its own types, whatever order they were declared in. */
function ownOf({ own }: Bundle): object {
  const actions = own.actions.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  return { ...own, actions, types: Object.fromEntries(own.types) }
}

describe('a bundle with types of its own', () => {
  test('knows them, their actions and their entities', async () => {
    const { own } = await load(FILES)
    expect([...own.types.keys()].toSorted()).toEqual(['Photo::Album', 'group', 'user'])
    expect(own.actions.map(({ type, id, principalTypes, resourceTypes }) => [type, id, principalTypes, resourceTypes])).toEqual([
      ['Photo::Action', 'edit', ['user'], ['Photo::Album']],
      ['Photo::Action', 'view', ['user'], ['Photo::Album']],
    ])
    expect(own.entities).toHaveLength(2)
    expect([...own.keys.keys()].toSorted()).toEqual(['Photo::Action::"edit"', 'Photo::Action::"view"'])
  }) // biome-ignore format: long rows

  test('is the same when it is stored and read again', async () => {
    const bundle = await load(FILES)
    const again = await loadFiles(await storedFiles(bundle.content), { env: {} })
    expect(again.id).toBe(bundle.id)
    expect(again.content).toBe(bundle.content)
    expect(ownOf(again)).toEqual(ownOf(bundle))
  })

  test('is the same in JSON as in the human syntax', async () => {
    const bundle = await load(FILES)
    const { 'schema/photo.cedarschema': _, ...others } = FILES
    const json = JSON.stringify(readContent(bundle.content).own.schema, null, 2)
    expect((await load({ ...others, 'schema/photo.cedarschema.json': json })).id).toBe(bundle.id)
  })

  test('owners of servers alone may write policies about its types', async () => {
    const owners = 'owners: { photo: [] }\n'
    const bundle = await load({ ...FILES, 'gateway.yaml': `${GATEWAY}${owners}` })
    expect(bundle.policies.size).toBe(1)
  })
})
