// Owns whether a token that was got before is for what server.yaml says now. Pure.
import { covers } from '../../../../schemas/resource.ts'
import type { Binding } from '../secret.ts'
import type { OauthTarget } from './discover.ts'

/**
 * Why it is not, for an operator; undefined when it is. Asked before every use: a server.yaml with another `url` must not
 * get the tokens of the server that was connected.
 */
export function unboundReason(
  { resource, client }: Binding,
  { serverUrl, declaration }: Pick<OauthTarget, 'serverUrl' | 'declaration'>,
): string | undefined {
  const { issuer, resource: stated } = declaration
  if (declaration.kind !== 'oauth') return 'server.yaml wants another kind of credential'
  if (issuer !== undefined && issuer !== client.issuer)
    return `it is of ${client.issuer}, and server.yaml names ${issuer}`
  if (declaration.clientId !== undefined && declaration.clientId !== client.clientId)
    return `it was got by another client than server.yaml names`
  const isFor = (stated ?? resource) === resource && covers(resource, serverUrl)
  return isFor ? undefined : `it is for ${resource}, and not for what server.yaml names`
}
