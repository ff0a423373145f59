// What CEDARGATE_LOGIN_FILE names is read whole at start: the file, and the secret beside it.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readLoginSetting } from './login-setting.ts'

let home: string
const path = () => join(home, 'login.yaml')
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'cedargate-login-'))
  await writeFile(join(home, 'secret'), 'the-secret\n')
  await writeFile(join(home, 'empty'), '\n')
})
afterAll(() => rm(home, { recursive: true }))

const write = (web: string) =>
  writeFile(path(), `issuer: https://login.test\nclientId: cli\n${web}`)

test('without a file nobody signs in', async () => {
  expect(await readLoginSetting(undefined)).toEqual({})
})

test('a secret lies beside the file, or where its path says', async () => {
  for (const file of ['secret', join(home, 'secret')]) {
    await write(`web: { clientId: web, clientSecretFile: ${file} }\n`)
    expect(await readLoginSetting(path())).toMatchObject({
      login: { web: { clientId: 'web' } },
      webClientSecret: 'the-secret',
    })
  }
  await write('web: { clientId: web }\n')
  expect((await readLoginSetting(path())).webClientSecret).toBeUndefined()
})

test.each([
  { file: 'nowhere', says: /`web.clientSecretFile` .*nowhere of CEDARGATE_LOGIN_FILE cannot be read/ },
  { file: 'empty', says: /empty of CEDARGATE_LOGIN_FILE is empty/ },
])('a secret that is not to be had is an error: $file', async ({ file, says }) => {
  await write(`web: { clientId: web, clientSecretFile: ${file} }\n`)
  await expect(readLoginSetting(path())).rejects.toThrow(says)
}) // biome-ignore format: a table
