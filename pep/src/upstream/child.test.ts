// What a server's process needs before it can be started: said in words that name the server and its setting.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Upstream } from '../../../schemas/pep-api.ts'
import { exitOf, type Isolation, startServer, unisolated } from './child.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cedargate-child-'))
  await writeFile(join(folder, 'file'), '')
})
afterAll(() => rm(folder, { recursive: true }))

function start(cwd: string | null, isolation: Isolation = unisolated) {
  const none = { url: null, writable: null, env: {} }
  const upstream: Upstream = { id: 'notes', transport: 'stdio', command: process.execPath, args: ['-e', ''], cwd, ...none, instructions: 'withhold' }
  const env = { CEDARGATE_SERVER_FOLDER: folder }
  const preload = new URL('./preload.mjs', import.meta.url)
  return startServer(upstream, { env, binDirectory: undefined, preload, isolation })
} // biome-ignore format: long lines

test.each(['gone', 'file', 'file/below'])('a `cwd` that is no directory: %s', async (name) => {
  const message = `\`cwd\` of server notes is not a directory: ${join(folder, name)}; make it, or change \`cwd\` in server.yaml`
  await expect(start(`\${CEDARGATE_SERVER_FOLDER}/${name}`)).rejects.toThrow(message)
  const isolated = start(join(folder, name), (command) => Promise.resolve({ ...command, command: 'bwrap' }))
  await expect(isolated).rejects.toThrow(message)
}) // biome-ignore format: long lines

test.each([null, '${CEDARGATE_SERVER_FOLDER}'])('a `cwd` of %s', async (cwd) => {
  const child = await start(cwd)
  await exitOf(child)
  expect(child.exitCode).toBe(0)
})
