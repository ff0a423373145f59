// Owns the webhook of the bundle's repository: a signed call makes the PDP look at once. What the call says besides is not
// read: what is true is in the repository.
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Context } from 'hono'
import { API_BODY_BYTES_MAX } from '../../../schemas/limits.ts'
import { withBody } from './body.ts'
import type { GuardedRoute, PdpEnv } from './roles.ts'

type HookPorts = {
  /** Shared with the repository's host; undefined: there is no webhook. */
  readonly secret: string | undefined
  readonly refresh: () => Promise<void>
}

/** GitHub, Gitea and Forgejo sign the body (`X-Hub-Signature-256`); GitLab sends the secret itself (`X-Gitlab-Token`). */
export function hookRoutes({ secret, refresh }: HookPorts): GuardedRoute[] {
  if (secret === undefined) return []
  return [
    {
      method: 'POST',
      path: '/hooks/bundle',
      role: 'anyone',
      handler: withBody(API_BODY_BYTES_MAX, hook),
    },
  ]

  async function hook(c: Context<PdpEnv>): Promise<Response> {
    if (!isSigned(c, secret ?? '')) {
      return c.json(
        { code: 'unauthenticated', message: 'the call is not signed as it must be' },
        401,
      )
    }
    void refresh()
    return c.body(null, 202)
  }
}

function isSigned(c: Context<PdpEnv>, secret: string): boolean {
  const token = c.req.header('x-gitlab-token')
  if (token !== undefined) return same(token, secret)
  const signature = c.req.header('x-hub-signature-256') ?? ''
  return same(signature, `sha256=${hmac(secret, c.get('body')).toString('hex')}`)
}

/** Compared by digest: neither the time taken nor a length says anything of the secret. */
function same(left: string, right: string): boolean {
  return timingSafeEqual(hmac('compare', left), hmac('compare', right))
}

function hmac(key: string, data: string | Buffer): Buffer {
  return createHmac('sha256', key).update(data).digest()
}
