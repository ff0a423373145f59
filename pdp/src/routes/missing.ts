// Owns how an operator is told that something is not there.
import type { Context } from 'hono'

/** 404 that says where to look. `more`: what else may be meant. */
export function missing(c: Context, what: string, hint: string, more = ''): Response {
  const message = `there is no such ${what}; see \`${hint}\`${more === '' ? '' : `; ${more}`}`
  return c.json({ code: 'not_found', message }, 404)
}
