// Owns the operator face of credentials: parse, call, serialise. Secrets come in by a body that is neither logged nor recorded.
import type { Context } from 'hono'
import { stream } from 'hono/streaming'
import { z } from 'zod'
import {
  type ConnectLink,
  type CredentialKeys,
  type CredentialRequest,
  type CredentialRow,
  type CredentialsQuery,
  connectQuery,
  credentialAct,
  credentialRequest,
  credentialsQuery,
  type RewrapLine,
  type RotateRequest,
  rotateAct,
  rotateRequest,
  type TestedCredential,
} from '../../../schemas/credentials-api.ts'
import { missing } from './missing.ts'
import { invalid, orRefused, readBody, readId, readQuery } from './read.ts'
import { EVERY_ROLE, type GuardedRoute, type PdpEnv } from './roles.ts'

export type CredentialAdminPorts = {
  /** Throws Refused where it cannot be. */
  readonly setCredential: (request: CredentialRequest) => Promise<CredentialRow>
  /** These are undefined when there is no such credential. */
  readonly rotateCredential: (
    id: string,
    request: RotateRequest,
  ) => Promise<CredentialRow | undefined>
  readonly testCredential: (id: string) => Promise<TestedCredential | undefined>
  readonly removeCredential: (id: string) => Promise<CredentialRow | undefined>
  /** Throws Refused where there is nothing to go on from. */
  readonly listCredentials: (query: CredentialsQuery) => Promise<readonly CredentialRow[]>
  /** Throws Refused for a server whose credential nobody connects. */
  readonly connectLink: (server: string, user: string | undefined) => ConnectLink
  readonly credentialKeys: () => Promise<CredentialKeys>
  readonly rewrapCredentials: () => AsyncIterable<RewrapLine>
}

const ROLES = ['admin', 'credential-admin'] as const

export function credentialRoutes(ports: CredentialAdminPorts): GuardedRoute[] {
  const all = '/admin/v1/credentials'
  const at = `${all}/:id`
  return [
    { method: 'GET', path: all, role: EVERY_ROLE, handler: list },
    { method: 'GET', path: `${all}/link`, role: EVERY_ROLE, handler: link },
    change({ method: 'PUT', path: all, act: { name: 'credentials.set', body: credentialAct }, handler: set }),
    change({ method: 'POST', path: `${at}/rotate`, act: { name: 'credentials.rotate', body: rotateAct }, handler: rotate }),
    change({ method: 'POST', path: `${at}/test`, act: { name: 'credentials.test', body: null }, handler: test }),
    change({ method: 'DELETE', path: at, act: { name: 'credentials.remove', body: null }, handler: remove }),
    { method: 'GET', path: '/admin/v1/credential-keys', role: EVERY_ROLE, handler: keys },
    change({ method: 'POST', path: '/admin/v1/credential-keys/rewrap', act: { name: 'credential-keys.rewrap', body: null }, handler: rewrap }),
  ] // biome-ignore format: one route a line

  async function list(c: Context<PdpEnv>): Promise<Response> {
    const query = readQuery(c, credentialsQuery)
    if (query instanceof Response) return query
    return orRefused(c, async () => c.json({ credentials: await ports.listCredentials(query) }))
  }

  async function link(c: Context<PdpEnv>): Promise<Response> {
    const query = readQuery(c, connectQuery)
    if (query instanceof Response) return query
    return orRefused(c, async () => c.json(ports.connectLink(query.server, query.user)))
  }

  async function set(c: Context<PdpEnv>): Promise<Response> {
    const body = readSecretBody(c, credentialRequest)
    if (body instanceof Response) return body
    return orRefused(c, async () => c.json(await ports.setCredential(body)))
  }

  async function rotate(c: Context<PdpEnv>): Promise<Response> {
    const body = readSecretBody(c, rotateRequest)
    if (body instanceof Response) return body
    return orRefused(c, async () =>
      found(c, await onOne(c, (id) => ports.rotateCredential(id, body))),
    )
  }

  async function test(c: Context<PdpEnv>): Promise<Response> {
    return found(c, await onOne(c, ports.testCredential))
  }

  async function remove(c: Context<PdpEnv>): Promise<Response> {
    const removed = await onOne(c, ports.removeCredential)
    if (removed === undefined) return none(c)
    const { id, server, user } = removed
    return c.json({ id, server, user })
  }

  async function keys(c: Context<PdpEnv>): Promise<Response> {
    return c.json(await ports.credentialKeys())
  }

  async function rewrap(c: Context<PdpEnv>): Promise<Response> {
    const { current, source } = await ports.credentialKeys()
    if (current === null) return invalid(c, `there is no key-encryption key in ${source}`)
    c.header('content-type', 'application/x-ndjson')
    return stream(c, async (lines) => {
      for await (const line of ports.rewrapCredentials()) {
        if (lines.aborted) return
        await lines.write(`${JSON.stringify(line)}\n`)
      }
    })
  }
}

function change(route: Omit<GuardedRoute, 'role'>): GuardedRoute {
  return { ...route, role: ROLES }
}

/** As readBody; zod says what is wrong with a text, never the text. */
const readSecretBody = readBody

/** What is done to one credential that must exist. */
async function onOne<Row>(
  c: Context<PdpEnv>,
  act: (id: string) => Promise<Row | undefined>,
): Promise<Row | undefined> {
  const id = readId(c, z.uuid())
  return id === '' ? undefined : act(id)
}

function found(c: Context<PdpEnv>, row: object | undefined): Response {
  return row === undefined ? none(c) : c.json(row)
}

function none(c: Context<PdpEnv>): Response {
  return missing(c, 'credential', 'cedargate credentials ls')
}
