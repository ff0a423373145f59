// Owns reading the body of an AuthZEN request, and every 400 of the specification. Never reads what it asks.
import type { Context } from 'hono'
import { z } from 'zod'
import { type Json, parseStrictJson } from '../../../schemas/strict-json.ts'
import type { PdpEnv } from './roles.ts'

export type ErrorBody = { readonly code: 'invalid_request'; readonly message: string }

export function readBody<Value>(
  c: Context<PdpEnv>,
  schema: z.ZodType<Value>,
): { ok: true; value: Value } | { ok: false; error: ErrorBody } {
  const type = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/json')
    return { ok: false, error: refuse('content type must be application/json') }
  const body = parseStrictJson(decode(c.get('body')))
  if (!body.ok) return { ok: false, error: refuse(body.message) }
  const parsed = schema.safeParse(body.value satisfies Json)
  return parsed.success
    ? { ok: true, value: parsed.data }
    : { ok: false, error: invalid(parsed.error) }
}

/** Bytes that are not UTF-8 become a text that is not JSON, and are refused as such. */
function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return ''
  }
}

export function invalid(error: z.ZodError): ErrorBody {
  return refuse(z.prettifyError(error).replaceAll(/\s*\n\s*/g, ' '))
}

function refuse(message: string): ErrorBody {
  return { code: 'invalid_request', message }
}
