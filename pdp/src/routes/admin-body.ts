// Owns reading the body of an operator's request, and how one that does not fit is answered.
import type { Context } from 'hono'
import { z } from 'zod'
import { jsonBody } from './body.ts'
import type { PdpEnv } from './roles.ts'

/** What `schema` makes of the body, or the 400 that says what is wrong with it. */
export function readAdmin<Schema extends z.ZodType>(
  c: Context<PdpEnv>,
  schema: Schema,
): z.infer<Schema> | Response {
  const parsed = schema.safeParse(jsonBody(c))
  return parsed.success ? parsed.data : invalid(c, z.prettifyError(parsed.error))
}

/** 400 with one line. */
export function invalid(c: Context, message: string): Response {
  return c.json({ code: 'invalid_request', message: message.replaceAll(/\s*\n\s*/g, ' ') }, 400)
}
