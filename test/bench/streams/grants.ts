// Owns the grants of the benchmark `streams`: made and revoked over the admin face, as the command does it.
import { createdGrant } from '../../../schemas/admin-api.ts'
import type { Services } from '../gateway/services.ts'
import type { Share } from './plan.ts'

export type Grant = {
  readonly index: number
  readonly id: string
  readonly token: string
  readonly share: Share
}

/** One grant of every share, for all `servers`. */
export async function createGrants(
  services: Services,
  shares: readonly Share[],
  servers: readonly string[],
): Promise<Grant[]> {
  const grants: Grant[] = []
  for (const [index, share] of shares.entries()) {
    const made = await admin(services, 'POST', '/admin/v1/grants', {
      user: `user-${index}`,
      agent: 'bench',
      servers,
      teams: ['bench'],
      expiresInMs: 24 * 60 * 60_000,
    })
    const { id, token } = createdGrant.parse(JSON.parse(made))
    grants.push({ index, id, token, share })
  }
  return grants
}

/** Resolves when the decision point has answered that it is. */
export async function revokeGrant(services: Services, { id }: Grant): Promise<void> {
  await admin(services, 'DELETE', `/admin/v1/grants/${id}`)
}

async function admin(
  { pdpUrl, operatorToken }: Services,
  method: string,
  path: string,
  body?: object,
): Promise<string> {
  const answer = await fetch(`${pdpUrl}${path}`, {
    method,
    headers: { authorization: `Bearer ${operatorToken}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
  return text
}
