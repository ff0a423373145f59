// Owns reading what an operator asks: body, query and id against their schema, and how a bad one is answered.
import type { Context } from 'hono'
import { z } from 'zod'
import { storedText } from '../../../schemas/stored-text.ts'
import { Refused } from '../identity/refused.ts'
import { jsonBody } from './body.ts'
import type { PdpEnv } from './roles.ts'

/** The body, or the answer to a bad one. */
export function readBody<Schema extends z.ZodType>(
  c: Context<PdpEnv>,
  schema: Schema,
): z.infer<Schema> | Response {
  const parsed = schema.safeParse(jsonBody(c))
  return parsed.success ? parsed.data : invalid(c, z.prettifyError(parsed.error))
}

/** The query, or the answer to a bad one. */
export function readQuery<Schema extends z.ZodType>(
  c: Context<PdpEnv>,
  schema: Schema,
): z.infer<Schema> | Response {
  const parsed = schema.safeParse(c.req.query())
  return parsed.success ? parsed.data : invalid(c, z.prettifyError(parsed.error))
}

/** The id in the path; '' where it is none of these. */
export function readId(c: Context<PdpEnv>, schema: z.ZodType<string> = storedText): string {
  return schema.safeParse(c.req.param('id')).data ?? ''
}

/** 400 for an id in the path that is none of these, and why. */
export function noId(c: Context<PdpEnv>, what: string, schema: z.ZodType<string>): Response {
  const why = schema.safeParse(c.req.param('id')).error?.issues[0]?.message
  return invalid(c, `the path names no ${what} id: ${why}`)
}

/** 400 with one line. */
export function invalid(c: Context, message: string): Response {
  return c.json({ code: 'invalid_request', message: message.replaceAll(/\s*\n\s*/g, ' ') }, 400)
}

/** 400 with the message of a Refused. */
export async function orRefused(
  c: Context<PdpEnv>,
  work: () => Promise<Response>,
): Promise<Response> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof Refused) return invalid(c, error.message)
    throw error
  }
}
