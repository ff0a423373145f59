// What a request authenticates with: one token, in the header, spelled well.
import { expect, test } from 'vitest'
import { formatToken, TOKEN_PREFIXES, type TokenKind } from '../../../schemas/identifiers.ts'
import { TOKEN_LENGTH_MAX } from '../../../schemas/limits.ts'
import { digestOf, testJwt, testToken } from '../testing-client.ts'
import { endOfJwt, readCredential } from './authenticate.ts'

const TOKEN = testToken(1)
const JWT = testJwt({ sub: 'alice', exp: 2_000_000_000 })

function read(authorization: string | readonly string[] | undefined, url = '/demo/mcp') {
  const all = [authorization ?? []].flat()
  const rawHeaders = all.flatMap((value) => ['Authorization', value])
  const [first] = all
  return readCredential({
    url,
    headers: first === undefined ? {} : { authorization: first },
    rawHeaders,
  })
}

test.each([
  `Bearer ${TOKEN}`, `bearer ${TOKEN}`, `BEARER ${TOKEN}`, `bEaReR   ${TOKEN}`,
])('%s', (header) => {
  expect(read(header)).toEqual({ token: digestOf(TOKEN), jwt: null })
}) // biome-ignore format: a list

test('a JWT is kept for the PDP, a gateway token is not', () => {
  expect(read(`Bearer ${JWT}`)).toEqual({ token: digestOf(JWT), jwt: JWT })
})

const sized = (length: number): string => {
  const rest = '.e30.c2ln'
  return `${'a'.repeat(length - rest.length)}${rest}`
}

test('a token of TOKEN_LENGTH_MAX characters is read, of one more is not', () => {
  expect(read(`Bearer ${sized(TOKEN_LENGTH_MAX)}`)).toHaveProperty('jwt')
  expect(read(`Bearer ${sized(TOKEN_LENGTH_MAX + 1)}`)).toBe('malformed')
})

test.each<{ name: string; header: string | readonly string[] | undefined; want: string; url?: string }>([
  { name: 'nothing', header: undefined, want: 'missing' },
  { name: 'an empty header', header: '', want: 'missing' },
  { name: 'Basic', header: 'Basic eDp5', want: 'missing' },
  { name: 'another scheme that begins alike', header: `Bearerish ${TOKEN}`, want: 'missing' },
  { name: 'the token alone', header: TOKEN, want: 'missing' },
  { name: 'the scheme alone', header: 'Bearer', want: 'malformed' },
  { name: 'the scheme and spaces', header: 'Bearer   ', want: 'malformed' },
  { name: 'a tab between', header: `Bearer\t${TOKEN}`, want: 'malformed' },
  { name: 'a tab behind', header: `Bearer ${TOKEN}\t`, want: 'malformed' },
  { name: 'a space within', header: `Bearer ${TOKEN.slice(0, 9)} ${TOKEN.slice(9)}`, want: 'malformed' },
  { name: 'the scheme twice', header: `Bearer Bearer ${TOKEN}`, want: 'malformed' },
  { name: 'two tokens', header: `Bearer ${TOKEN} ${TOKEN}`, want: 'malformed' },
  { name: 'two credentials', header: `Bearer ${TOKEN}, Bearer ${TOKEN}`, want: 'malformed' },
  { name: 'a comma behind', header: `Bearer ${TOKEN},`, want: 'malformed' },
  { name: 'quotes', header: `Bearer "${TOKEN}"`, want: 'malformed' },
  { name: 'a letter outside ASCII', header: `Bearer ${TOKEN}é`, want: 'malformed' },
  { name: 'a line end', header: `Bearer ${TOKEN}\n`, want: 'malformed' },
  { name: 'a PEP key', header: `Bearer ${TOKEN.replace('cgt', 'cgp')}`, want: 'malformed' },
  { name: 'two parts', header: `Bearer ${JWT.slice(0, JWT.lastIndexOf('.'))}`, want: 'malformed' },
  { name: 'no signature', header: `Bearer ${JWT.slice(0, JWT.lastIndexOf('.') + 1)}`, want: 'malformed' },
  { name: 'an empty part', header: 'Bearer a..c', want: 'malformed' },
  { name: 'five parts', header: 'Bearer a.b.c.d.e', want: 'malformed' },
  { name: 'padding', header: `Bearer ${JWT}=`, want: 'malformed' },
  { name: 'two headers', header: [`Bearer ${TOKEN}`, `Bearer ${TOKEN}`], want: 'repeated' },
  { name: 'an empty second header', header: [`Bearer ${TOKEN}`, ''], want: 'repeated' },
  { name: 'a query', header: undefined, url: `/demo/mcp?access_token=${TOKEN}`, want: 'in_query' },
  { name: 'a query beside the header', header: `Bearer ${TOKEN}`, url: '/demo/mcp?a=b&access_token=', want: 'in_query' },
  { name: 'the name alone in a query', header: `Bearer ${TOKEN}`, url: '/demo/mcp?access_token', want: 'in_query' },
  { name: 'a query in another case', header: `Bearer ${TOKEN}`, url: '/demo/mcp?Access_Token=x', want: 'in_query' },
  { name: 'a query, encoded', header: `Bearer ${TOKEN}`, url: '/demo/mcp?%61ccess%5Ftoken=x', want: 'in_query' },
  { name: 'a gateway token by another name', header: `Bearer ${TOKEN}`, url: `/demo/mcp?token=${TOKEN}`, want: 'in_query' },
  { name: 'a JWT by another name', header: `Bearer ${TOKEN}`, url: `/demo/mcp?a=b&api_key=${JWT}`, want: 'in_query' },
  { name: 'a scheme before it', header: `Bearer ${TOKEN}`, url: `/demo/mcp?authorization=Bearer+${TOKEN}`, want: 'in_query' },
  { name: 'a gateway token as a name', header: `Bearer ${TOKEN}`, url: `/demo/mcp?${TOKEN}`, want: 'in_query' },
  { name: 'a JWT as a name', header: `Bearer ${TOKEN}`, url: `/demo/mcp?${JWT}&a`, want: 'in_query' },
  { name: 'a gateway token, encoded', header: `Bearer ${TOKEN}`, url: `/demo/mcp?k=%63${TOKEN.slice(1)}`, want: 'in_query' },
  { name: 'most of a token', header: `Bearer ${TOKEN}`, url: `/demo/mcp?k=${TOKEN.slice(0, -1)}`, want: 'in_query' },
  { name: 'a token in quotes and spaces', header: `Bearer ${TOKEN}`, url: `/demo/mcp?k=%20%22${TOKEN}%22,`, want: 'in_query' },
  { name: 'a JWT after a word', header: `Bearer ${TOKEN}`, url: `/demo/mcp?k=token+${JWT}`, want: 'in_query' },
  { name: 'encoded twice', header: `Bearer ${TOKEN}`, url: `/demo/mcp?k=a%253D%2563${TOKEN.slice(1)}`, want: 'in_query' },
  { name: 'a query in pieces by semicolons', header: `Bearer ${TOKEN}`, url: '/demo/mcp?a=1;access_token=x', want: 'in_query' },
  { name: 'a token behind a second `?`', header: `Bearer ${TOKEN}`, url: `/demo/mcp?a?&k=${TOKEN}`, want: 'in_query' },
  ...(Object.keys(TOKEN_PREFIXES) as TokenKind[]).map((kind) => {
    const token = formatToken(kind, new Uint8Array(32), digestOf)
    return { name: `a ${kind} token by another name`, header: `Bearer ${TOKEN}`, url: `/demo/mcp?k=${token}`, want: 'in_query' }
  }),
])('$name: $want', ({ header, want, url }) => {
  expect(read(header, url)).toBe(want)
}) // biome-ignore format: a table

test.each([
  '/demo/mcp?', '/demo/mcp?a=b', '/demo/mcp?token=x', '/demo/mcp?key=cgt_', '/demo/mcp?version=1.2.3', '/demo/mcp?host=a.example.com',
  '/demo/mcp?k=e30.e30.e30', '/demo/mcp?k=bnVsbA.a.b', '/demo/mcp?k=%', '/demo/mcp?k=%00',
])('%s is no token in the query', (url) => {
  expect(read(`Bearer ${TOKEN}`, url)).toEqual({ token: digestOf(TOKEN), jwt: null })
}) // biome-ignore format: a list

test('the end of a JWT is what it says, and long ago where it does not say', () => {
  expect(endOfJwt(JWT)).toBe(2_000_000_000_000)
  expect(endOfJwt(testJwt({ sub: 'alice' }))).toBe(0)
  for (const payload of ['', 'bm90IGpzb24', 'bnVsbA', 'eyJleHAiOiIxIn0', 'W10'])
    expect(endOfJwt(`a.${payload}.c`)).toBe(0)
})
