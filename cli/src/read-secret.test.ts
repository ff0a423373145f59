// A secret that is typed or piped: what is taken of it, and that a terminal never shows it. Of files:
// commands/credentials.test.ts.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { credentialRequest } from '../../schemas/credentials-api.ts'
import { type Running, runCommandWith, startOnTerminal } from '../../test/harness/command.ts'
import { CREDENTIAL, type FakeGateway, startFakeGateway } from './testing.ts'

const SECRET = 'hunter2-canary'
const WORDS = ['credentials', 'set', '--server', 'files', '--env', 'TOKEN', '--stdin']

let gateway: FakeGateway
let env: Record<string, string>
beforeAll(async () => {
  gateway = await startFakeGateway()
  gateway.answer({ on: 'PUT /admin/v1/credentials', takes: credentialRequest, answers: CREDENTIAL })
  env = { CEDARGATE_URL: gateway.url, CEDARGATE_TOKEN: 'cgs_mine' }
})
afterAll(() => gateway.close())
const sent = (): unknown[] =>
  gateway.asked.splice(0).map(({ body }) => credentialRequest.parse(body).secret.value)

describe('from a pipe', () => {
  test.each([
    [`${SECRET}\n`, SECRET],
    [` ${SECRET} \r\n`, ` ${SECRET} `],
    ['several\nlines\n\n', 'several\nlines\n'],
  ])('to the end, less one newline: %j', async (input, value) => {
    const ended = await runCommandWith(input, WORDS, env)
    expect(ended).toMatchObject({ code: 0, stdout: expect.stringMatching(/^credential /), stderr: '' })
    expect(sent()).toEqual([value])
  })

  test('nothing', async () => {
    expect(await runCommandWith('', WORDS, env)).toMatchObject({ code: 2, stderr: expect.stringMatching(/^cedargate: nothing came on stdin\n$/) })
    expect(sent()).toEqual([])
  })
}) // biome-ignore format: long lines

const typed = async (text: string): Promise<Running> => {
  const running = startOnTerminal(WORDS, env)
  await expect.poll(running.stdout, { timeout: 15_000 }).toContain('secret (not shown): ')
  running.child.stdin?.write(text)
  return running
}

describe.runIf(process.platform === 'linux')('from a terminal', () => {

  test('one line, which is not shown', async () => {
    const { ended } = await typed(`${SECRET}X\u007f\r`)
    const { code, stdout } = await ended
    expect({ code, sent: sent() }).toEqual({ code: 0, sent: [SECRET] })
    expect(stdout).toMatch(/^secret \(not shown\): \r\ncredential \S+ version 3 .*\r\n$/)
  })

  test.each([
    { key: '\u0003', says: 'stopped: nothing was sent' },
    { key: '\u0004', says: 'no secret was typed' },
  ])('$says', async ({ key, says }) => {
    const running = await typed(key === '\u0003' ? `${SECRET}${key}` : key)
    const { code, stdout } = await running.ended
    expect({ code, sent: sent() }).toEqual({ code: 2, sent: [] })
    expect(stdout).toContain(`cedargate: ${says}`)
    expect(stdout).not.toContain('hunter2')
  })
}) // biome-ignore format: long lines
