// The login file: what stands in it, each mistake at its line, and which groups give which roles.
import { expect, test } from 'vitest'
import { readLoginFile, rolesOfClaims } from './login-file.ts'

const LEAST = 'issuer: https://login.test\nclientId: cli\n'
const read = (text: string) => readLoginFile('login.yaml', text)

test('what is left out is as the documentation says', () => {
  expect(read(LEAST)).toEqual({
    issuer: 'https://login.test',
    clientId: 'cli',
    private: false,
    scope: 'openid profile email',
    userClaim: 'sub',
    rolesClaim: 'groups',
    roles: {},
  })
})

test.each<{ name: string; text: string; says: RegExp }>([
  { name: 'nothing', text: '', says: /^login\.yaml:1:1: / },
  { name: 'no issuer', text: 'clientId: cli\n', says: /^login\.yaml:1:1: `issuer`/ },
  { name: 'an issuer in plaintext', text: 'issuer: http://login.test\nclientId: cli\n', says: /^login\.yaml:1:9: `issuer`.*https/ },
  { name: 'an unknown key', text: `${LEAST}group: x\n`, says: /group/ },
  { name: 'an unknown role', text: `${LEAST}roles:\n  root: [x]\n`, says: /^login\.yaml:[34]:.*root/ },
  { name: 'a role that is no list', text: `${LEAST}roles:\n  admin: x\n`, says: /^login\.yaml:4:10: `roles.admin`/ },
  { name: 'a scope without openid', text: `${LEAST}scope: email\n`, says: /^login\.yaml:3:8: `scope`: must hold `openid`/ },
  { name: 'a key twice', text: `${LEAST}issuer: https://b.test\n`, says: /^login\.yaml:3:1: / },
  { name: 'a web client without an id', text: `${LEAST}web: {}\n`, says: /^login\.yaml:3:\d+: `web.clientId`/ },
  { name: 'a secret in the file', text: `${LEAST}web: { clientId: w, clientSecret: x }\n`, says: /clientSecret/ },
  { name: 'no YAML', text: 'a: [', says: /^login\.yaml:1:/ },
])('$name is an error at its place', ({ text, says }) => {
  expect(() => read(text)).toThrow(says)
}) // biome-ignore format: a table

test.each<{ name: string; claims: Record<string, unknown>; roles: string[] }>([
  { name: 'no claim', claims: {}, roles: [] },
  { name: 'no group of ours', claims: { groups: ['x', 'root'] }, roles: [] },
  { name: 'one group', claims: { groups: ['ops'] }, roles: ['admin', 'viewer'] },
  { name: 'one text', claims: { groups: 'staff' }, roles: ['viewer'] },
  { name: 'two groups of one role', claims: { groups: ['staff', 'ops'] }, roles: ['admin', 'viewer'] },
  { name: 'no texts', claims: { groups: [1, null, { ops: true }, ['ops']] }, roles: [] },
  { name: 'a role by its own name', claims: { groups: ['admin', 'viewer'], roles: ['admin'] }, roles: [] },
  { name: 'a claim of the prototype', claims: JSON.parse('{"__proto__":{"groups":["ops"]}}'), roles: [] },
])('roles of $name', ({ claims, roles }) => {
  const file = read(`${LEAST}roles:\n  admin: [ops]\n  viewer: [staff, ops]\n`)
  expect(rolesOfClaims(file, claims)).toEqual(roles)
}) // biome-ignore format: a table
