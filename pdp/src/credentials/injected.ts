// Owns what of a secret goes to a server, and what must not come back from it. Pure.
import type { ReleasedCredential } from '../../../schemas/credentials.ts'
import type { Secret } from './secret.ts'

type Injected = Pick<ReleasedCredential, 'headers' | 'env' | 'secrets'>

/** Undefined for what no call is sent with: a client of ours, or client credentials without a token. */
export function injectedBy(secret: Secret): Injected | undefined {
  switch (secret.kind) {
    case 'header':
      return { headers: secret.values, env: {}, secrets: Object.values(secret.values) }
    case 'env':
      return { headers: {}, env: secret.values, secrets: Object.values(secret.values) }
    case 'bearer':
      return inAuthorization('Bearer', secret.value, [secret.value])
    case 'basic': {
      const password = secret.value.slice(secret.value.indexOf(':') + 1)
      const encoded = Buffer.from(secret.value).toString('base64')
      return inAuthorization('Basic', encoded, [encoded, secret.value, password])
    }
    case 'oauth':
    case 'client_credentials':
      if (secret.token === null) return undefined
      return inAuthorization('Bearer', secret.token.accessToken, [secret.token.accessToken])
    case 'client':
      return undefined
    default:
      return secret satisfies never
  }
}

function inAuthorization(scheme: string, value: string, secrets: readonly string[]): Injected {
  return { headers: { authorization: `${scheme} ${value}` }, env: {}, secrets: [...secrets] }
}
