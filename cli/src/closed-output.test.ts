// A command whose reader goes before the end, as `head` does: it ends without a word, by the code of SIGPIPE.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runPiped } from '../../test/harness/command.ts'
import { CREDENTIAL, type FakeGateway, startFakeGateway } from './testing.ts'

let gateway: FakeGateway
let env: Record<string, string>
beforeAll(async () => {
  gateway = await startFakeGateway()
  const credentials = Array.from({ length: 2_000 }, () => CREDENTIAL)
  gateway.answer({ on: 'GET /admin/v1/credentials?limit=200', answers: { credentials } })
  env = { CEDARGATE_URL: gateway.url, CEDARGATE_TOKEN: 'cgs_mine' }
})
afterAll(() => gateway.close())

test.each(['text', 'json'])('%s', async (format) => {
  const words = ['credentials', 'ls', '--format', format]
  expect(await runPiped(words, 'head -n 1', env)).toEqual({
    code: 0,
    stdout: expect.stringMatching(format === 'json' ? /^\[\n$/ : /^.*ID .*\n$/),
    stderr: '141\n',
  })
})

test('a full disk is no reader that has gone: it is said', async () => {
  const said = 'cedargate: its output cannot be written: ENOSPC\n1\n'
  const ended = await runPiped(['credentials', 'ls'], 'cat', env, '/dev/full')
  expect(ended).toMatchObject({ stdout: '', stderr: said })
})

test('a reader that reads all', async () => {
  const { code, stdout, stderr } = await runPiped(['credentials', 'ls'], 'wc -l', env)
  expect({ code, lines: Number(stdout), stderr }).toEqual({ code: 0, lines: 2_001, stderr: '0\n' })
})
