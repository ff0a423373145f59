// Keys at private addresses: where an issuer was stated there, and never because a document says so. A real provider, and
// names that lead where the test says.
import { createServer as createHttpServer, type Server } from 'node:http'
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server as TcpServer,
} from 'node:net'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type OpenDialer, openDialer } from '../../pdp/src/egress/dialer.ts'
import { type Idp, startIdp } from '../harness/idp.ts'
import { type Judge, judgeOf } from '../harness/idp-judge.ts'

let idp: Idp
let judge: Judge
let dial: OpenDialer
/** Has the keys of the provider; whoever dials it gets them. */
let keys: Server
/** Counts who comes. */
let wire: TcpServer
let connections = 0

const portOf = (server: TcpServer): number => (server.address() as AddressInfo).port
const listening = async <Of extends TcpServer>(server: Of): Promise<Of> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

beforeAll(async () => {
  idp = await startIdp()
  dial = openDialer({
    lookup: (_name, _options, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]),
  })
  judge = judgeOf(idp, dial)
  const { kid, d: _, ...publicKey } = idp.key()
  const text = JSON.stringify({ keys: [{ kid, ...publicKey }] })
  keys = await listening(createHttpServer((_request, response) => response.end(text)))
  wire = await listening(
    createTcpServer((socket) => {
      connections += 1
      socket.destroy()
    }),
  )
})
afterAll(async () => {
  await dial.close()
  await idp.stop()
  for (const server of [keys, wire]) server.close()
})
beforeEach(() => {
  judge.reset()
  connections = 0
})

/** `good`, or why its keys could not be had. */
async function verdictOn(token: string, changes: object = {}): Promise<string> {
  const verified = judge.verifier.verifyAccessToken(token, judge.settings(changes))
  return verified.then(
    () => 'good',
    (error: Error) => (error.cause as Error).message,
  )
}

/** The provider says that its keys are there. */
const naming = (uri: () => string) => {
  idp.fault = (request, response) => {
    if (!request.url?.endsWith('/openid-configuration')) return undefined
    response.end(JSON.stringify({ issuer: idp.issuer, jwks_uri: uri() }))
    return 'answered'
  }
}
const elsewhere = () => `http://127.0.0.1:${portOf(keys)}/jwks`

describe('a discovery document that names', () => {
  test.each<{ name: string; uri: () => string; want: RegExp }>([
    { name: 'the origin of its issuer', uri: () => `${idp.issuer}/jwks`, want: /^good$/ },
    { name: 'another port of this machine', uri: elsewhere, want: /^127\.0\.0\.1:\d+ is not dialled over http/ },
    { name: 'this machine by https', uri: () => `https://127.0.0.1:${portOf(wire)}/jwks`, want: /^127\.0\.0\.1:\d+ leads to a private address/ },
    { name: 'a name that leads to this machine', uri: () => `https://keys.test:${portOf(wire)}/jwks`, want: /^keys\.test leads to a private address, which wants `private: true`/ },
    { name: 'the metadata of a cloud', uri: () => 'http://169.254.169.254/latest/meta-data/', want: /not dialled/ },
    { name: 'a file', uri: () => 'file:///etc/passwd', want: /only https/ },
  ])('$name: $want', async ({ uri, want }) => {
    naming(uri)
    const token = await idp.accessToken()
    expect(await verdictOn(token)).toMatch(want)
    judge.verifier = judgeOf(idp, dial).verifier
    // That its issuer may be private says nothing of what it names.
    expect(await verdictOn(token, { private: true })).toMatch(want)
    expect(connections).toBe(0)
  }) // biome-ignore format: a table

  test('keys that are stated there are had there', async () => {
    const token = await idp.accessToken()
    expect(await verdictOn(token, { jwksUri: elsewhere() })).toBe('good')
  })
})

const at = () => ({ issuer: `https://idp.test:${portOf(wire)}` })
const tokenOf = async (issuer: string) => {
  return await idp.sign({ ...decodeJwt(await idp.accessToken()), iss: issuer })
}

describe('an issuer whose name leads to a private address', () => {
  test('is not dialled', async () => {
    expect(await verdictOn(await tokenOf(at().issuer), at())).toMatch(/^idp\.test leads to a private address, which wants `private: true`/) // biome-ignore format: long
    expect(connections).toBe(0)
  })

  test('is dialled with `private: true`, as soon as that is said', async () => {
    const token = await tokenOf(at().issuer)
    await verdictOn(token, at())
    expect(await verdictOn(token, { ...at(), private: true })).not.toMatch(/private|just now/)
    expect(connections).toBe(1)
  })
})
