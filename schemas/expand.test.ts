// Owns what `${NAME}` in a bundle may reach: three kinds of names, once, and nothing of the service's other secrets.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { expandVariables, isExpandable, variablesIn } from './expand.ts'

const env = {
  PORT: '4000',
  CEDARGATE_HOME: '/srv/gate',
  CEDARGATE_SERVER_TOKEN: 'a${PORT}b',
  CEDARGATE_SERVER_EMPTY: '',
  CEDARGATE_PEP_KEY: 'secret',
  DATABASE_URL: 'secret',
}

describe('expandVariables', () => {
  test.each([
    ['nothing to expand', 'http://host/', 'http://host/'],
    ['one', 'http://127.0.0.1:${PORT}/mcp', 'http://127.0.0.1:4000/mcp'],
    ['several', '${CEDARGATE_HOME}/x/${PORT}${PORT}', '/srv/gate/x/40004000'],
    ['a value is not expanded again', '${CEDARGATE_SERVER_TOKEN}', 'a${PORT}b'],
    ['dollars and braces alone', '$PORT {PORT} $', '$PORT {PORT} $'],
  ])('%s', (_name, text, value) => {
    expect(expandVariables(text, env)).toEqual({ ok: true, value })
  })

  test.each([
    ['a secret of the service', '${CEDARGATE_PEP_KEY}', 'CEDARGATE_PEP_KEY'],
    ['a variable of the machine', '${DATABASE_URL}', 'DATABASE_URL'],
    ['the second of two', '${PORT}${HOME}', 'HOME'],
    ['an unset one', '${CEDARGATE_SERVER_UNSET}', 'CEDARGATE_SERVER_UNSET'],
    ['an empty one', '${CEDARGATE_SERVER_EMPTY}', 'CEDARGATE_SERVER_EMPTY'],
    ['the prefix alone', '${CEDARGATE_SERVER_}', 'CEDARGATE_SERVER_'],
    ['lower case', '${port}', 'port'],
    ['white space', '${ PORT }', ' PORT '],
    ['no name', '${}', ''],
    ['a default', '${PORT:-1}', 'PORT:-1'],
    ['no end', 'x${PORT', ''],
    ['an inherited property', '${constructor}', 'constructor'],
  ])('%s is refused, and named', (_name, text, name) => {
    expect(expandVariables(text, env)).toMatchObject({ ok: false, name })
  })

  test('never answers with a variable that may not be named', () => {
    const text = fc.array(fc.constantFrom('${', '}', 'PORT', 'DATABASE_URL', '$', '{', 'x'))
    fc.assert(
      fc.property(text, (parts) => {
        const answer = expandVariables(parts.join(''), env)
        expect(answer.ok && answer.value.includes('secret')).toBe(false)
      }),
    )
  })
})

test('variablesIn names what expandVariables would look up', () => {
  expect(variablesIn('${A}${B}-${C')).toEqual(['A', 'B'])
  expect(['PORT', 'CEDARGATE_HOME', 'CEDARGATE_SERVER_X', 'HOME'].map(isExpandable)).toEqual([
    true,
    true,
    true,
    false,
  ])
})
