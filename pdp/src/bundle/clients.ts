// Owns checking what gateway.yaml says of clients of identity providers against the rest of the bundle.
import type { GatewayFile } from '../../../schemas/bundle.ts'
import { errorAt, type Finding } from './findings.ts'

/** A server that is not there would be in a grant for nothing, until one of that name appears. */
export function clientFindings(
  { identity }: Pick<GatewayFile, 'identity'>,
  servers: ReadonlySet<string>,
): Finding[] {
  return identity.issuers.flatMap(({ issuer, clients }) =>
    Object.entries(clients).flatMap(([client, settings]) => {
      const unknown = settings.servers.filter((id) => !servers.has(id))
      const message = `client \`${client}\` of ${issuer}: the bundle has no server ${unknown.join(', ')}`
      return unknown.length === 0 ? [] : [errorAt('gateway.yaml', message)]
    }),
  )
}
