// Owns making of what an operator gives the secret that is written: what was held under other names stays, and a client's
// secret belongs to one authorization server.
import type { CredentialDeclaration } from '../../../schemas/credentials.ts'
import type { GivenSecret } from '../../../schemas/credentials-api.ts'
import { Refused } from '../identity/refused.ts'
import { unseal, type Vaulting } from './envelope.ts'
import type { CredentialRecord } from './rows.ts'
import { type KeptSecret, type Secret, sealedIssuer } from './secret.ts'
import type { Change } from './write.ts'

type IssuerPorts = {
  readonly declarationOf: (server: string) => CredentialDeclaration | undefined
  /** The authorization server of this server, as it is named now. Rejects when nobody says. */
  readonly issuerOf: (server: string) => Promise<string>
}

/**
 * Where a client's secret may go, for good: who may push a bundle must not send it elsewhere later. Null for what is no
 * client. Throws Refused when nobody says.
 */
export async function issuerFor(
  { declarationOf, issuerOf }: IssuerPorts,
  server: string,
  { kind }: GivenSecret,
): Promise<string | null> {
  if (kind !== 'client') return null
  return await issuerOf(server).catch((cause: unknown) => {
    const declaration = declarationOf(server)
    const why = cause instanceof Error ? cause.message : String(cause)
    const isStated = declaration !== undefined && 'issuer' in declaration
    const fix = isStated ? '' : `; state \`credential.issuer\` in the server.yaml of ${server}`
    throw new Refused(`its authorization server cannot be used: ${why}${fix}`, { cause })
  })
}

/** Throws Refused where it was set for another one, or cannot be read. */
export async function assertSameIssuer(
  ports: Ports,
  it: CredentialRecord,
  issuer: string,
): Promise<void> {
  const before = sealedIssuer((await open(ports, it)).secret)
  if (before !== issuer)
    throw new Refused(
      `it was set for ${before}, and the authorization server of ${it.server} is ${issuer} now; if that is right, remove it and set it anew`,
    )
}

type Given = {
  readonly before: CredentialRecord | undefined
  readonly given: GivenSecret
  readonly declaration: CredentialDeclaration | undefined
  readonly issuer: string | null
}
type Ports = {
  readonly vaulting: Vaulting
  readonly destinationOf: (server: string) => string
}

/** Throws Refused where what is set now cannot be read, or was set for another address. */
export async function givenChange(ports: Ports, asked: Given): Promise<Change> {
  const { before, given, issuer } = asked
  if (given.kind === 'bearer' || given.kind === 'basic') return { secret: given }
  if (given.kind === 'client') {
    const needed = before !== undefined && given.clientId === undefined
    const held = needed ? (await open(ports, before)).secret : undefined
    if (issuer === null) throw new Error('a secret of a client belongs to an authorization server')
    return { secret: clientOf(asked, given, held, issuer), details: { issuer } }
  }
  const { kind, name, value } = given
  const held = before?.kind === kind ? await open(ports, before) : undefined
  const values = held?.secret.kind === kind ? held.secret.values : {}
  const isAdded = Object.keys(values).some((one) => one !== name)
  if (isAdded && held?.to !== ports.destinationOf(before?.server ?? ''))
    throw new Refused(
      `what it holds besides was set for another address of the server; remove it with \`cedargate credentials rm ${before?.id}\` and set all of it anew`,
    )
  return { secret: { kind, values: { ...values, [name]: value } } }
}

function open({ vaulting }: Ports, it: CredentialRecord): Promise<KeptSecret> {
  return unseal(vaulting.ring, it.envelope, it).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause)
    const fix = `give its key back, or remove it with \`cedargate credentials rm ${it.id}\` and set it anew`
    throw new Refused(`what is set now cannot be read: ${why}; ${fix}`, { cause })
  })
}

function clientOf(
  { declaration }: Given,
  given: Extract<GivenSecret, { kind: 'client' }>,
  held: Secret | undefined,
  issuer: string,
): Secret {
  const declared = declaration?.kind === 'oauth' ? declaration.clientId : undefined
  const same = held !== undefined && 'clientId' in held ? held.clientId : undefined
  const clientId = given.clientId ?? declared ?? same
  if (clientId === undefined) throw new Refused('say which client: --client <id>')
  if (declared !== undefined && declared !== clientId)
    throw new Refused(`server.yaml names the client ${declared}, not ${clientId}`)
  const clientSecret = given.value
  if (declaration?.kind === 'client_credentials')
    return { kind: 'client_credentials', issuer, clientId, clientSecret, token: null }
  return { kind: 'client', issuer, clientId, clientSecret, authMethod: null, by: 'operator' }
}
