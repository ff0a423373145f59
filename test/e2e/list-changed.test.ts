// A policy is saved while a client is connected: the client hears that its tools changed, and lists other ones.
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Dev, startDev } from '../harness/dev.ts'
import { copyBundle } from './bundle-copy.ts'

let bundle: string
let dev: Dev
beforeAll(async () => {
  bundle = await copyBundle()
  dev = await startDev({ bundle })
})
afterAll(async () => {
  await dev.stop()
  await rm(bundle, { recursive: true, force: true })
})

test('an open client hears of what changes its list, and of nothing else', async () => {
  const token = dev.facts.users['alice']?.token ?? ''
  const client = new Client({ name: 'c', version: '1' })
  let heard = 0
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => {
    heard += 1
  })
  const url = new URL(`${dev.facts.pepUrl}/everything/mcp`)
  const requestInit = { headers: { authorization: `Bearer ${token}` } }
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit }))
  const names = async () => (await client.listTools()).tools.map(({ name }) => name)
  const before = await names()
  expect(before).toContain('echo')

  const own = heard // The server says so itself when a session begins.
  const path = join(bundle, 'cedar/engineering.cedar')
  const text = await readFile(path, 'utf8')
  await writeFile(path, text.replace('@owner("engineering")', '@owner("platform")'))
  await vi.waitFor(
    async () => expect((await dev.cli('bundles', 'ls', '--format', 'json')).stdout.split('"id"')).toHaveLength(3),
    { timeout: 15_000, interval: 500 },
  )
  expect(heard).toBe(own)
  await writeFile(path, text.replace('MCP::Action::"read"', 'MCP::Action::"files/read_text_file"'))
  await vi.waitFor(() => expect(heard).toBe(own + 1), { timeout: 15_000, interval: 50 })
  expect(await names()).not.toContain('echo')
  await client.close()
}) // biome-ignore format: long lines
