// Definitions over the PDP's own routes: what a PEP is told of its servers and no others, what it may
// tell, and what an operator reads of it.
import { hash } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { seenDefinition, toolRow } from '../../schemas/admin-api.ts'
import { DEFINITION_BYTES_MAX, DEFINITIONS_MAX } from '../../schemas/limits.ts'
import { reviewedResponse, sightingsResponse } from '../../schemas/pep-api.ts'
import { startTestPdp, type TestPdp } from '../harness/pdp.ts'

let pdp: TestPdp
beforeAll(async () => {
  pdp = await startTestPdp()
})
afterAll(() => pdp.stop())

const PATH = '/pep/v1/definitions'
const ask = async (path: string, credential: string, body?: object) => {
  const answer = await pdp.app.request(path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { ...pdp.authorization(credential), 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  const json = text.startsWith('{') ? (JSON.parse(text) as object) : {}
  return { status: answer.status, text, json }
}
const reviewed = async (credential = 'pep-files') => {
  const { json } = await ask(`${PATH}?server=files`, credential)
  return reviewedResponse.parse(json)
}
const EVIL = '{"description":"EVIL","name":"read_text_file"}'
const LOOK = { server: 'files', look: true, tools: [{ name: 'read_text_file', sha256: hash('sha256', EVIL) }] } // biome-ignore format: a table

test('a PEP is told the reviewed definitions of a server it is enrolled for, as the lock has them', async () => {
  const { bundle, tools } = await reviewed()
  expect(bundle).toBe(pdp.bundle.id)
  const locked = pdp.bundle.servers.get('files')?.lock.tools ?? []
  const told = tools.flatMap(({ variants }) => variants)
  expect(told).toEqual(locked.map(({ sha256, definition }) => ({ sha256, definition })))
})

test.each([
  { name: 'reads of a server that is not its own', path: `${PATH}?server=everything`, status: 403 },
  { name: 'reads of none', path: PATH, status: 400 },
  { name: 'reads of what is no id', path: `${PATH}?server=../x`, status: 400 },
  { name: 'tells of a server that is not its own', body: { ...LOOK, server: 'everything' }, status: 403 },
  { name: 'tells contents of a server that is not its own', body: { server: 'everything', contents: [] }, status: 403 },
  { name: 'tells too many', body: { ...LOOK, tools: Array.from({ length: DEFINITIONS_MAX + 1 }, () => LOOK.tools[0]) }, status: 400 },
  { name: 'tells a name too long', body: { ...LOOK, tools: [{ ...LOOK.tools[0], name: 'x'.repeat(257) }] }, status: 400 },
  { name: 'tells a content too long', body: { server: 'files', contents: [{ sha256: '0'.repeat(64), content: 'x'.repeat(DEFINITION_BYTES_MAX + 1) }] }, status: 400 },
  { name: 'tells both at once', body: { ...LOOK, contents: [] }, status: 400 },
  { name: 'tells a content of another fingerprint', body: { server: 'files', contents: [{ sha256: '0'.repeat(64), content: EVIL }] }, status: 400 },
])('a PEP that $name is answered $status', async ({ path = PATH, body, status }) => {
  expect((await ask(path, 'pep-files', body)).status).toBe(status)
  expect((await ask('/admin/v1/tools', 'operator')).json).toEqual({ tools: [] })
}) // biome-ignore format: a table

test('what was told is what an operator reads', async () => {
  const [good] = (await reviewed()).tools.filter(({ name }) => name === 'list_directory')
  const sha256 = good?.variants[0]?.sha256 ?? ''
  const tools = [...LOOK.tools, { name: 'list_directory', sha256 }, { name: 'new', sha256 }]
  const told = sightingsResponse.parse((await ask(PATH, 'pep-files', { ...LOOK, tools })).json)
  expect(told.tools.map(({ state }) => state)).toEqual(['changed', 'reviewed', 'unknown'])
  const contents = [{ sha256: LOOK.tools[0]?.sha256, content: EVIL }]
  expect((await ask(PATH, 'pep-files', { server: 'files', contents })).status).toBe(204)

  const rowsOf = async (query: string) => {
    const { json } = await ask(`/admin/v1/tools${query}`, 'operator')
    return toolRow.array().parse((json as { tools: unknown }).tools)
  }
  const held = await rowsOf('?held=true')
  expect(held.map(({ tool, state }) => [tool, state])).toEqual([
    ['new', 'unknown'],
    ['read_text_file', 'changed'],
  ])
  expect(held[1]?.reviewed).toHaveLength(1)
  expect(await rowsOf('?server=files')).toHaveLength(3)
  expect(await rowsOf('?server=everything')).toEqual([])
  for (const query of ['?held=perhaps', '?server=..', '?other=1'])
    expect((await ask(`/admin/v1/tools${query}`, 'operator')).status).toBe(400)

  const shown = await ask(`/admin/v1/definitions/${hash('sha256', EVIL)}`, 'operator')
  expect(seenDefinition.parse(shown.json)).toMatchObject({
    definition: { description: 'EVIL' },
    sightings: [{ server: 'files', tool: 'read_text_file' }],
  })
  for (const id of ['0', '0'.repeat(64)])
    expect((await ask(`/admin/v1/definitions/${id}`, 'operator')).status).toBe(404)

  const metrics = (await ask('/metrics', 'none')).text
  expect(metrics).toContain('cedargate_tools_held{server="files"} 2\n')
  expect(metrics).toContain('cedargate_tools_held{server="everything"} 0\n')
  expect(metrics).toContain('cedargate_definitions_seen_total{state="changed"} 1\n')
})
