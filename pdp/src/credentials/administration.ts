// Owns what operators do with credentials: set, rotate, test, remove, list. A secret goes in and never comes out.
import { type CredentialDeclaration, ownerOf } from '../../../schemas/credentials.ts'
import type {
  CredentialRequest,
  CredentialRow,
  CredentialsQuery,
  GivenSecret,
  RotateRequest,
  TestedCredential,
} from '../../../schemas/credentials-api.ts'
import { Refused } from '../identity/refused.ts'
import { unseal } from './envelope.ts'
import { CredentialFault } from './fault.ts'
import { assertSameIssuer, givenChange, issuerFor } from './given.ts'
import type { StartRenewal } from './renewal.ts'
import type { CredentialRecord, Owner, Use } from './rows.ts'
import { type Binding, bindingOf, isRenewable } from './secret.ts'
import { incomplete } from './words.ts'
import { type WritePorts, writeSecret } from './write.ts'

export type AdministrationPorts = WritePorts & {
  readonly declarationOf: (server: string) => CredentialDeclaration | undefined
  readonly unbound: (server: string, binding: Binding) => string | undefined
  /** The authorization server of this server, as it is named now. Rejects when nobody says. */
  readonly issuerOf: (server: string) => Promise<string>
  readonly startRenewal: StartRenewal
  /** Makes a token count as expired, so that the next look renews it. */
  readonly expire: (of: CredentialRecord) => Promise<void>
}

export type CredentialAdministration = {
  /** Rejects with Refused where it cannot be: the message says why, and what to do. */
  readonly setCredential: (request: CredentialRequest) => Promise<CredentialRow>
  /** These are undefined when there is no such credential. */
  readonly rotateCredential: (
    id: string,
    request: RotateRequest,
  ) => Promise<CredentialRow | undefined>
  readonly testCredential: (id: string) => Promise<TestedCredential | undefined>
  readonly removeCredential: (id: string) => Promise<CredentialRow | undefined>
  readonly listCredentials: (query: CredentialsQuery) => Promise<readonly CredentialRow[]>
}

export function openAdministration(ports: AdministrationPorts): CredentialAdministration {
  const { rows, onChanged, declarationOf } = ports
  const rowOf = (record: CredentialRecord, keys?: readonly string[]) =>
    toRow(record, stateOf(record, declarationOf(record.server), keys))
  return {
    async setCredential({ server, user, secret }) {
      const owner = { server, user }
      const declaration = declarationOf(server)
      const use = checkGiven(owner, declaration, secret)
      const issuer = await issuerFor(ports, server, secret)
      const made = await refusing(
        writeSecret(ports, owner, use, (before) =>
          givenChange(ports, { before, given: secret, declaration, issuer }),
        ),
      )
      if (made !== undefined) return rowOf(made)
      if (user === null) throw new Refused('somebody else set it at the same moment; set it again')
      throw new Refused(
        `there is no user ${user}, or they are offboarded; see \`cedargate users ls\``,
      )
    },
    async rotateCredential(id, { secret }) {
      const record = await rows.byId(id)
      if (record === undefined) return undefined
      if (secret === undefined) return rowOf(await renewedNow(ports, record))
      checkReplaces(record, secret)
      const declaration = declarationOf(record.server)
      const issuer = await issuerFor(ports, record.server, secret)
      const made = await refusing(
        writeSecret(ports, record, record.use, async (before) => {
          if (before?.id !== id) throw overtaken()
          if (issuer !== null) await assertSameIssuer(ports, before, issuer)
          return await givenChange(ports, { before, given: secret, declaration, issuer })
        }),
      )
      if (made !== undefined) return rowOf(made)
      throw overtaken()
    },
    async testCredential(id) {
      const record = await rows.byId(id)
      if (record === undefined) return undefined
      const { server, user, version } = record
      const problem = await problemWith(ports, record)
      return { id, server, user, version, ok: problem === null, problem }
    },
    async removeCredential(id) {
      const record = await rows.remove(id)
      if (record === undefined) return undefined
      onChanged(record)
      return rowOf(record)
    },
    async listCredentials(query) {
      const { after } = query
      if (after !== undefined && (await rows.byId(after)) === undefined)
        throw new Refused(`there is no credential ${after} to go on from; list from the start`)
      // Where the keys cannot be read now, those that were read before still open what they wrap.
      const keys = await ports.vaulting.ring.ids().catch(() => undefined)
      return (await rows.list(query)).map((record) => rowOf(record, keys))
    },
  }
}

function overtaken(): Refused {
  return new Refused('it was changed or removed at the same moment; look at it again')
}

/** What server.yaml wants is what may be set. Answers what it is used for. */
function checkGiven(
  { server, user }: Owner,
  declaration: CredentialDeclaration | undefined,
  given: GivenSecret,
): Use {
  if (declaration === undefined)
    throw new Refused(
      `server ${server} declares no credential, or is not in the bundle; add \`credential\` to its server.yaml`,
    )
  const { kind } = declaration
  const isClient = kind === 'oauth' || kind === 'client_credentials'
  if (isClient !== (given.kind === 'client') || (!isClient && given.kind !== kind))
    throw new Refused(`server ${server} wants a credential of kind ${kind}: ${HOW[kind]}`)
  const per = given.kind === 'client' ? 'deployment' : ownerOf(declaration)
  if (per === 'user' && user === null)
    throw new Refused(`the credential of ${server} is per user: say whose it is with --user`)
  if (per === 'deployment' && user !== null)
    throw new Refused(
      `the credential of ${server} is one for all: leave out --user, or set \`per: user\` in its server.yaml`,
    )
  const names: readonly string[] | undefined =
    'names' in declaration ? declaration.names : undefined
  if ('name' in given && names !== undefined && !names.includes(given.name))
    throw new Refused(`server ${server} wants ${names.join(', ')}, not ${given.name}`)
  return kind === 'oauth' ? 'client' : 'call'
}

const HOW: { readonly [kind in CredentialDeclaration['kind']]: string } = {
  header: 'set it with --header <name>',
  bearer: 'set it with --bearer',
  basic: 'set it with --basic, as user:password',
  env: 'set it with --env <name>',
  client_credentials: 'set the client and its secret with --client <id>',
  oauth:
    'connect it with `cedargate credentials connect`; --client <id> is for a client registered there',
}

function checkReplaces(record: CredentialRecord, given: GivenSecret): void {
  const kind = given.kind === 'client' ? ['client', 'client_credentials'] : [given.kind]
  if (!kind.includes(record.kind))
    throw new Refused(`this credential is of kind ${record.kind}, not ${given.kind}`)
  if ('name' in given && !record.names.includes(given.name))
    throw new Refused(
      `this credential holds ${record.names.join(', ')}; \`credentials set\` adds another name`,
    )
}

/** A new access token now, whatever is left of the old one. */
async function renewedNow(
  ports: AdministrationPorts,
  record: CredentialRecord,
): Promise<CredentialRecord> {
  const declaration = ports.declarationOf(record.server)
  if (declaration === undefined || !isRenewable(record))
    throw new Refused(
      `a credential of kind ${record.kind} is rotated by its new secret: --stdin or --file <path>`,
    )
  if (record.reconnect !== null && record.kind === 'oauth')
    throw new Refused(`it was ended (${record.reconnect}): connect it anew`)
  await ports.expire(record)
  await ports.startRenewal(record, declaration).ended
  const now = await ports.rows.byId(record.id)
  if (now === undefined || now.version === record.version)
    throw new Refused(
      `no new access token could be had${now?.reconnect == null ? '; see the log of the PDP' : `: ${now.reconnect}`}`,
    )
  return now
}

/** Null: it could be released now. Does NOT ask the server. */
async function problemWith(
  ports: AdministrationPorts,
  record: CredentialRecord,
): Promise<string | null> {
  const { vaulting, clock, rows } = ports
  const declaration = ports.declarationOf(record.server)
  if (stateOf(record, declaration) === 'undeclared' || declaration === undefined)
    return `server.yaml of ${record.server} declares ${declaration === undefined ? 'no credential, or it is in no bundle' : `kind ${declaration.kind}`}`
  let binding: Binding | undefined
  try {
    const { to, secret } = await unseal(vaulting.ring, record.envelope, record)
    const now = ports.destinationOf(record.server)
    if (record.use === 'call' && to !== now)
      return `it was set for ${to}, and server.yaml of ${record.server} says ${now}: set or connect it anew`
    binding = bindingOf(secret)
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  if (record.reconnect !== null) return `it was ended (${record.reconnect}): connect or set it anew`
  const unbound = binding === undefined ? undefined : ports.unbound(record.server, binding)
  if (unbound !== undefined) return `${unbound}: connect it anew`
  const lacking = incomplete(declaration, record.names)
  if (record.use === 'call' && lacking.length > 0) return `it lacks ${lacking.join(', ')}`
  if (isRenewable(record) && (record.expires?.getTime() ?? 0) <= clock.now()) {
    await ports.startRenewal(record, declaration).ended
    const now = await rows.byId(record.id)
    if (now?.version === record.version)
      return now.reconnect ?? 'no access token could be had; see the log of the PDP'
  }
  return record.refused === null
    ? null
    : `the server refused it with 401 at ${record.refused.toISOString()}`
}

/** A key that is not there is the operator's matter, not a fault of ours. */
async function refusing<Value>(work: Promise<Value>): Promise<Value> {
  return work.catch((error: unknown) => {
    throw error instanceof CredentialFault ? new Refused(error.message, { cause: error }) : error
  })
}

/** `keys`: ids of those at hand; undefined: not asked. */
function stateOf(
  record: CredentialRecord,
  declaration: CredentialDeclaration | undefined,
  keys?: readonly string[],
): CredentialRow['state'] {
  const wanted = record.use === 'client' ? 'oauth' : record.kind
  if (declaration?.kind !== wanted) return 'undeclared'
  if (keys?.includes(record.envelope.kek) === false) return 'locked'
  if (record.reconnect !== null) return 'reconnect'
  return record.refused === null ? 'ok' : 'refused'
}

function toRow(record: CredentialRecord, state: CredentialRow['state']): CredentialRow {
  const { id, server, user, names, version, issuer, scopes, envelope } = record
  return {
    id,
    server,
    user,
    kind: record.kind as CredentialRow['kind'],
    names: [...names],
    version,
    state,
    issuer,
    scopes: scopes === null ? null : [...scopes],
    expiresAt: instant(record.expires),
    createdAt: record.created.toISOString(),
    updatedAt: record.updated.toISOString(),
    lastUsedAt: instant(record.lastUsed),
    key: envelope.kek,
  }
}

function instant(date: Date | null): string | null {
  return date?.toISOString() ?? null
}
