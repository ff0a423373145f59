// Owns the check that a misspelt setting is seen, and that a variable of somebody else is nobody's business.
import { expect, test } from 'vitest'
import { SETTINGS, unknownSettings } from './settings.ts'

test.each([
  ['every known one', Object.fromEntries([...SETTINGS].map((name) => [name, 'x'])), []],
  ['a misspelt one', { CEDARGATE_PEP_PROT: '1', CEDARGATE_HOME: 'x' }, ['CEDARGATE_PEP_PROT']],
  ['lower case of ours', { CEDARGATE_home: 'x' }, ['CEDARGATE_home']],
  ['variables for servers and for tests', { CEDARGATE_SERVER_X: '1', CEDARGATE_TEST_X: '1' }, []],
  ['other programs', { PATH: 'x', DATABASE_URL: 'x', XCEDARGATE_Y: '1' }, []],
])('%s', (_name, env, unknown) => {
  expect(unknownSettings(env)).toEqual(unknown)
})
