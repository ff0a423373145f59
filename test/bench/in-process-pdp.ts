// Owns a PDP in the process of a benchmark, on PostgreSQL, and asking it for one decision as a PEP does.
import { hash, randomBytes, randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { createPdp, type Pdp } from '../../pdp/src/compose.ts'
import { openDecider } from '../../pdp/src/decider.ts'
import { openDialer } from '../../pdp/src/egress/dialer.ts'
import { type Keys, loadKeys } from '../../pdp/src/keys/keys.ts'
import { systemClock } from '../../pdp/src/main.ts'
import { directorySource } from '../../pdp/src/source/directory-source.ts'
import { openPostgres, type Store } from '../../pdp/src/store/open.ts'
import { formatToken } from '../../schemas/identifiers.ts'
import type { DecideCall } from '../../schemas/pep-api.ts'

export type InProcessPdp = {
  readonly pdp: Pdp
  readonly store: Store
  readonly keys: Keys
  /** Headers of an operator's request. */
  readonly operator: Readonly<Record<string, string>>
  readonly stop: () => Promise<void>
}
type Place = {
  /** Of a bundle. */
  readonly directory: string
  /** Where its keys lie; PDPs of one gateway share them. */
  readonly keys: string
  /** It is migrated. */
  readonly database: string
}

export async function openInProcessPdp({
  directory,
  keys,
  database,
}: Place): Promise<InProcessPdp> {
  const loaded = await loadKeys(keys)
  const store = await openPostgres(database)
  await store.migrate()
  const decider = await openDecider({
    source: directorySource(directory),
    trust: { signers: [], unsignedDirectory: 'accept' },
    env: {},
    engineWorkers: 2,
    clock: systemClock,
  })
  const operator = formatToken('operator', randomBytes(32), sha256)
  const pdp = await createPdp({
    store,
    keys: loaded,
    decider,
    operatorTokenSha256: sha256(operator),
    publicUrl: 'http://127.0.0.1:8181',
    clock: systemClock,
    random: (bytes) => randomBytes(bytes),
    dial: openDialer(),
    env: {},
    log: pino({ level: 'silent' }),
  })
  return {
    pdp,
    store,
    keys: loaded,
    operator: { authorization: `Bearer ${operator}`, 'content-type': 'application/json' },
    stop: async () => {
      await pdp.stop()
      await store.close()
    },
  }
}

type Caller = {
  readonly token: string
  readonly server: string
  readonly tool: string
  readonly arguments: object
  /** Its fingerprint, as the bundle reviewed it. */
  readonly definition: string | undefined
}

/** One `tools/call`, with an id of its own each time. */
export function callOf({ token, server, tool, definition, ...rest }: Caller): () => DecideCall {
  const params = { name: tool, arguments: rest.arguments }
  const message = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params })
  return () => ({
    requestId: randomUUID(),
    token: sha256(token),
    jwt: null,
    server,
    from: 'client',
    method: 'tools/call',
    message,
    era: 'modern',
    definition: definition ?? null,
    client: null,
    sourceIp: null,
  })
}

/** The first fingerprint of a tool that was reviewed. */
export function reviewedOf({ bundle }: Pdp, server: string, tool: string): string | undefined {
  return [...(bundle.servers.get(server)?.tools.get(tool)?.variants.keys() ?? [])][0]
}

/** What the PDP answers to it. `key` of a PEP that serves the server. */
export async function decideOne({ app }: Pdp, key: string, call: DecideCall): Promise<unknown> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ calls: [call] })
  const answer = await app.request('/pep/v1/decide', { method: 'POST', headers, body })
  const { results } = (await answer.json()) as { readonly results: readonly unknown[] }
  return results[0]
}

function sha256(text: string): string {
  return hash('sha256', text)
}
