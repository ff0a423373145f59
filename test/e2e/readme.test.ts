// README.md against the command line: what it tells a newcomer to type exists.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { oauthUrls } from '../../pdp/src/credentials/oauth/client.ts'
import { readLoginFile } from '../../pdp/src/identity/login-file.ts'
import { runHere } from '../harness/in-process.ts'

const root = join(import.meta.dirname, '..', '..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>
}

/** Every command in code, without what explains it. `npx`, settings before it and prompts are no part of it. */
const typed = (program: string): string[] => {
  const code = [...readme.matchAll(/```sh\n([^]*?)```|`([^`\n]+)`/g)]
  const lines = code.flatMap(([, block, inline]) => (block ?? inline ?? '').split('\n'))
  const commands = lines.flatMap((line) => new RegExp(`^(?:[A-Z_]+=\\S+ )*(?:npx )?(${program} [^#]+)`).exec(line)?.[1]?.trim() ?? [])
  return [...new Set(commands)]
} // biome-ignore format: long lines

const commands = typed('cedargate').filter((line) => !line.startsWith('cedargate <'))

test('it names the commands of a newcomer and of an operator', () => {
  const wanted = ['decisions ls', 'decisions show', 'grants create', 'grants revoke', 'login', 'whoami', 'users roles', 'users offboard', 'acts ls', 'ledger fsck', 'tools lock', 'credentials set', 'credentials connect', 'keys rotate', 'dev', 'keys create', 'db migrate', 'pdp', 'peps enroll', 'pep']
  for (const words of wanted) expect(commands).toContainEqual(expect.stringMatching(new RegExp(`^cedargate ${words}( |$)`)))
}) // biome-ignore format: a list

test.each(commands)('%s', async (line) => {
  const words = line.split(/\s+/).slice(1)
  const end = words.findIndex((word) => !/^[a-z]+$/.test(word))
  const name = (end === -1 ? words : words.slice(0, end)).slice(0, 2)
  const { code, stdout } = await runHere([...name, '--help'])
  expect(code).toBe(0)
  expect(stdout).toMatch(new RegExp(`^Usage: cedargate ${name.join(' ')} `))
  for (const option of words.filter((word) => word.startsWith('--')))
    expect(stdout).toMatch(new RegExp(`^ +${option}[ ,]`, 'm'))
})

test('its login file is one, with a client for browsers', () => {
  const blocks = [...readme.matchAll(/```yaml\n([^]*?)```/g)].map(([, text]) => text ?? '')
  const [text = '', ...others] = blocks.filter((block) => block.startsWith('issuer:'))
  expect(others).toEqual([])
  const { web, scope, userClaim } = readLoginFile('login.yaml', text)
  expect(web).toEqual({ clientId: 'cedargate-web', clientSecretFile: 'web-secret' })
  expect(scope.split(' ')).toContain(userClaim)
})

test('it names the settings and redirect URIs that connecting an account needs', () => {
  const apart = readme.slice(readme.indexOf('## Running the services apart'))
  const { callback } = oauthUrls('<public URL>', '<server>')
  const wanted = ['CEDARGATE_PDP_PUBLIC_URL', 'CEDARGATE_CREDENTIAL_KEYS', '<public URL>/oauth/signed-in', callback]
  for (const word of wanted) expect(apart).toContain(`\`${word}\``)
}) // biome-ignore format: a list

test.each(typed('npm'))('%s', (line) => {
  const [, word = '', script = ''] = line.split(' ')
  expect(scripts).toHaveProperty(word === 'run' ? script : word)
})
