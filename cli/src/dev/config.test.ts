// The settings of `dev`: each one at fault is named.
import { expect, test } from 'vitest'
import { readConfig } from '../config.ts'
import { readDevConfig } from './config.ts'

test.each([
  { env: { CEDARGATE_PEP_PORT: '65536' }, says: /^CEDARGATE_PEP_PORT: / },
  { env: { CEDARGATE_PDP_PORT: 'http' }, says: /^CEDARGATE_PDP_PORT: must be a whole number from 0 to 65535$/ },
  { env: { CEDARGATE_PDP_PORT: '-1' }, says: /^CEDARGATE_PDP_PORT: must be a whole number from 0 to 65535$/ },
  { env: { CEDARGATE_PDP_PORT: '8181.5' }, says: /^CEDARGATE_PDP_PORT: must be a whole number from 0 to 65535$/ },
  { env: { CEDARGATE_ENGINE_WORKERS: '0' }, says: /^CEDARGATE_ENGINE_WORKERS: must be a whole number from 1 to 64$/ },
  { env: { CEDARGATE_LOG_LEVEL: 'loud' }, says: /^CEDARGATE_LOG_LEVEL: / },
  { env: { CEDARGATE_PEPPORT: '1', CEDARGATE_X: '' }, says: /^unknown setting CEDARGATE_PEPPORT, CEDARGATE_X$/ },
  { env: { CEDARGATE_PEP_PORT: 'a', CEDARGATE_LOG_LEVEL: 'b' }, says: /CEDARGATE_PEP_PORT: .*; CEDARGATE_LOG_LEVEL: / },
])('$env is refused', ({ env, says }) => {
  expect(() => readDevConfig('home', env)).toThrow(expect.objectContaining({ name: 'ConfigError', message: expect.stringMatching(says) }))
}) // biome-ignore format: a table

test('a variable that is set to nothing counts as not set', () => {
  const env = { CEDARGATE_HOME: '', CEDARGATE_PEP_PORT: '', DATABASE_URL: '', CEDARGATE_URL: '' }
  const { home, url, env: read } = readConfig(env)
  expect(home).toMatch(/\.cedargate$/)
  expect(url).toBeUndefined()
  expect(readDevConfig(home, read)).toMatchObject({ pepPort: 8787, databaseUrl: undefined })
})

test.each(['CEDARGATE_SERVER_GITHUB_URL', 'CEDARGATE_TEST_X', 'PORT'])('%s is nobody’s setting, and passes', (name) => {
  expect(readDevConfig('home', { [name]: 'x' }).env).toMatchObject({ [name]: 'x' })
}) // biome-ignore format: long lines
