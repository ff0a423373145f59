// Owns what the benchmark `credentials` is about: a bundle with four servers that differ in their credential alone, and
// PDPs of one database that have all of them.
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeToolsLock, toolsLockText } from '../../../pdp/src/catalog/lock.ts'
import { openConnections } from '../../../pdp/src/credentials/connections.ts'
import { openKeyRing } from '../../../pdp/src/credentials/key-ring.ts'
import { openCredentialRows } from '../../../pdp/src/credentials/rows.ts'
import { systemClock } from '../../../pdp/src/main.ts'
import {
  type CredentialRow,
  credentialRow,
  type GivenSecret,
} from '../../../schemas/credentials-api.ts'
import type { DecideCall } from '../../../schemas/pep-api.ts'
import { AS_CLIENT } from '../../harness/authorization-server.ts'
import { signedInUser } from '../../harness/credentials.ts'
import { callOf, decideOne, type InProcessPdp, reviewedOf } from '../in-process-pdp.ts'

/** `client`: client credentials; `account`: one that a person connected. */
export const KINDS = ['none', 'header', 'client', 'account'] as const
export type Kind = (typeof KINDS)[number]

const ORIGIN = 'http://127.0.0.1:9'
const TOOL = 'lookup'
const DAY_MS = 86_400_000
const POLICY = `@id("bench/all") permit (principal in MCP::Team::"bench", action, resource);\n`

export async function writeBenchBundle(directory: string, issuer: string): Promise<void> {
  const credentials: Record<Kind, string> = {
    none: '',
    header: 'credential: { kind: header, names: [x-api-key] }\n',
    client: `credential: { kind: client_credentials, issuer: "${issuer}", scopes: [read] }\n`,
    account: `credential: { kind: oauth, issuer: "${issuer}" }\n`,
  }
  await mkdir(join(directory, 'cedar'), { recursive: true })
  await writeFile(join(directory, 'gateway.yaml'), 'name: Bench\n')
  await writeFile(join(directory, 'cedar/bench.cedar'), POLICY)
  const inputSchema = { type: 'object' as const, properties: { key: { type: 'string' } } }
  const lock = toolsLockText(makeToolsLock([{ name: TOOL, inputSchema }]))
  for (const kind of KINDS) {
    const folder = join(directory, 'servers', kind)
    await mkdir(folder, { recursive: true })
    const yaml = `url: ${ORIGIN}/${kind}\n${credentials[kind]}`
    await writeFile(join(folder, 'server.yaml'), yaml)
    await writeFile(join(folder, 'tools.lock.json'), lock)
  }
}

export type Asker = {
  readonly call: (kind: Kind) => DecideCall
  /** Gets a new access token. */
  readonly renew: () => Promise<void>
  /** What the PDP at `at` answers. */
  readonly decide: (at: number, call: DecideCall) => Promise<unknown>
}

/** Sets all secrets, and asks as one PEP of all servers for one person. */
export async function openAsker(
  pdps: readonly InProcessPdp[],
  issuer: string,
): Promise<Asker> {
  const [first] = pdps
  if (first === undefined) throw new Error('there is no PDP')
  const { pdp } = first
  await setSecret(first, 'header', { kind: 'header', name: 'x-api-key', value: 'a-secret-of-the-bench-0123' })
  const { id } = await setSecret(first, 'client', { kind: 'client', clientId: AS_CLIENT.id, value: AS_CLIENT.secret })
  const servers = [...KINDS]
  const { key } = await pdp.peps.enrollPep(servers)
  const who = { user: 'ada', agent: 'bench', teams: ['bench'] }
  const { token } = await pdp.admin.createGrant({ ...who, servers, expiresInMs: DAY_MS })
  await connectAccount(first, who.user, issuer)
  const calls = new Map(
    KINDS.map((server) => {
      const definition = reviewedOf(pdp, server, TOOL)
      return [server, callOf({ token, server, tool: TOOL, arguments: { key: 'k' }, definition })]
    }),
  )
  return {
    renew: async () => void (await order(first, 'POST', `/${id}/rotate`, {})),
    call: (kind) => known(calls.get(kind))(),
    decide: (at, call) => decideOne(known(pdps[at]).pdp, key, call),
  }
} // biome-ignore format: long lines

const random = (bytes: number) => randomBytes(bytes)

/** As the pages keep it, with a token as long as a JWT is. */
async function connectAccount({ store, keys }: InProcessPdp, user: string, issuer: string) {
  const connections = openConnections({
    rows: openCredentialRows(store.sql),
    vaulting: { ring: await openKeyRing({ ...keys.keks, clock: systemClock }), random },
    clock: systemClock,
    random,
    destinationOf: () => ORIGIN,
    onChanged: () => {}, // The PDPs hear of it from the database.
  })
  const kept = await connections.connected({
    server: 'account',
    user,
    by: await signedInUser(store, user),
    issuer,
    scopes: null,
    secret: {
      kind: 'oauth',
      client: { issuer, clientId: 'bench', clientSecret: null, authMethod: 'none' },
      resource: `${ORIGIN}/account`,
      token: {
        accessToken: randomBytes(600).toString('base64url'),
        refreshToken: null,
        expiresAt: Date.now() + DAY_MS,
        scope: null,
      },
    },
  })
  if (kept === undefined) throw new Error('the account was not kept')
}

function setSecret(at: InProcessPdp, server: string, secret: GivenSecret): Promise<CredentialRow> {
  return order(at, 'PUT', '', { server, user: null, secret })
}

async function order(
  { pdp, operator }: InProcessPdp,
  method: string,
  path: string,
  body: object,
): Promise<CredentialRow> {
  const init = { method, headers: operator, body: JSON.stringify(body) }
  const answer = await pdp.app.request(`/admin/v1/credentials${path}`, init)
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
  return credentialRow.parse(await answer.json())
}

function known<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error('there is none')
  return value
}
