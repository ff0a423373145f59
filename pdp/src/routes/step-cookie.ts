// Owns the one cookie of a browser that connects an account: no script reads it, no other site sends it with a form, and over
// https no other host can set it. Knows nothing of what it holds.
import type { Context } from 'hono'
import { deleteCookie, getCookie, setCookie } from 'hono/cookie'
import { CONNECT_LIFETIME_MS } from '../../../schemas/limits.ts'

export type StepCookie = {
  readonly keep: (c: Context, value: string) => void
  readonly held: (c: Context) => string | undefined
  /** What is held, and is not any more: what this step was for is over, however it ends. */
  readonly take: (c: Context) => string | undefined
}

const NAME = 'cedargate-connect'

/** `__Host-` and Secure where the gateway is reached over https. */
export function stepCookie(publicUrl: string): StepCookie {
  const isHttps = publicUrl.startsWith('https://')
  const where = isHttps ? ({ path: '/', secure: true, prefix: 'host' } as const) : { path: '/' }
  const maxAge = CONNECT_LIFETIME_MS / 1_000
  const held = (c: Context) => (isHttps ? getCookie(c, NAME, 'host') : getCookie(c, NAME))
  return {
    held,
    keep: (c, value) => {
      setCookie(c, NAME, value, { ...where, httpOnly: true, sameSite: 'Lax', maxAge })
    },
    take: (c) => {
      const value = held(c)
      deleteCookie(c, NAME, where)
      return value
    },
  }
}
