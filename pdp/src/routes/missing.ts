// Owns how an operator is told that something is not there.
import type { Context } from 'hono'

/** 404 that says where to look. */
export function missing(c: Context, what: string, hint: string): Response {
  return c.json({ code: 'not_found', message: `there is no such ${what}; see \`${hint}\`` }, 404)
}
