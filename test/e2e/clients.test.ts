// Real clients through the PEP: both SDK lines and the Inspector command line list and call tools on both servers.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectClient, LINES, type TestClient } from '../harness/client.ts'
import { type Dev, startDev } from '../harness/dev.ts'

let dev: Dev
beforeAll(async () => {
  dev = await startDev()
})
afterAll(() => dev.stop())

const CALLS = {
  files: {
    allowed: ['read_text_file', { path: 'notes.txt' }],
    refused: ['write_file', { path: 'n', content: '' }],
  },
  everything: {
    allowed: ['echo', { message: 'hello' }],
    refused: ['toggle-simulated-logging', {}],
  },
} as const

describe.each(LINES)('%s', (line) => {
  test.each(Object.entries(CALLS))(
    'lists and calls on %s',
    async (server, { allowed, refused }) => {
      const token = dev.facts.users['bob']?.token ?? ''
      const client: TestClient = await connectClient(line, {
        pepUrl: dev.facts.pepUrl,
        server,
        token,
      })
      try {
        expect(await client.listTools()).toContain(allowed[0])
        expect(await client.listTools()).not.toContain(refused[0])
        expect(await client.call(allowed[0], allowed[1])).toMatchObject({
          isError: false,
          refusal: undefined,
        })
        const answer = await client.call(refused[0], refused[1])
        expect(answer.isError).toBe(true)
        expect(answer.text).toMatch(/No policy permits it|Forbidden by/)
        expect(answer.text).toContain(answer.refusal?.decisionId)
      } finally {
        await client.close()
      }
    },
  )

  test('an unknown token is refused with 401', async () => {
    const target = { pepUrl: dev.facts.pepUrl, server: 'files', token: 'nobody' }
    await expect(connectClient(line, target)).rejects.toThrow(/401|unauthorized|unauthenticated/i)
  })
})

describe('inspector', () => {
  const inspector = join(import.meta.dirname, '..', '..', 'node_modules', '.bin', 'mcp-inspector')
  const inspect = (server: string, ...words: string[]) => {
    const { pepUrl, users } = dev.facts
    const header = `Authorization: Bearer ${users['alice']?.token}`
    const target = [
      '--cli',
      `${pepUrl}/${server}/mcp`,
      '--transport',
      'http',
      '--header',
      header,
      '--format',
      'json',
    ]
    return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
      execFile(inspector, [...target, ...words], (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr })
      })
    })
  }

  test.each([
    { server: 'files', tool: 'list_directory', arg: 'path=.' },
    { server: 'everything', tool: 'echo', arg: 'message=hi' },
  ])('lists and calls on $server', async ({ server, tool, arg }) => {
    const listed = await inspect(server, '--method', 'tools/list')
    expect(listed).toMatchObject({ code: 0 })
    expect(listed.stdout).toContain(`"${tool}"`)
    const answer = await inspect(
      server,
      '--method',
      'tools/call',
      '--tool-name',
      tool,
      '--tool-arg',
      arg,
    )
    expect(answer).toMatchObject({ code: 0 })
  })

  test('a refused call is a tool error that names policy and decision', async () => {
    const words = [
      '--method',
      'tools/call',
      '--tool-name',
      'write_file',
      '--tool-arg',
      'path=n',
      '--tool-arg',
      'content=x',
    ]
    const answer = await inspect('files', ...words)
    expect(answer.code).toBe(5)
    expect(`${answer.stdout}${answer.stderr}`).toMatch(
      /files\/writes-below-drafts.*Decision [0-9a-f-]{36}/s,
    )
  })
})
