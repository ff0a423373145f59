// Owns talking to the running gateway's admin API: how it is asked, how its answers are read, and what went wrong.
import { z } from 'zod'
import { EXIT } from '../../schemas/codes.ts'
import type { CliConfig } from './config.ts'
import { CommandError } from './errors.ts'
import { findGateway, type Gateway, START_HINT } from './gateway.ts'
import { parseJson } from './parse-json.ts'

type Ask = <Schema extends z.ZodType>(path: string, schema: Schema) => Promise<z.infer<Schema>>
type Send = <Schema extends z.ZodType>(
  path: string,
  body: object,
  schema: Schema,
) => Promise<z.infer<Schema>>

type Lines = <Schema extends z.ZodType>(
  path: string,
  schema: Schema,
) => AsyncIterable<z.infer<Schema>>

/** Every answer is read by its schema. All throw CommandError for what a person can act on. */
export type AdminClient = {
  readonly get: Ask
  readonly post: Send
  readonly put: Send
  readonly deleteFor: Ask
  /** For routes that answer nothing. */
  readonly delete: (path: string) => Promise<void>
  /** Lines of an NDJSON answer as they come. */
  readonly lines: Lines
  readonly postForLines: Lines
}

/** A client of the gateway that `findGateway` finds. */
export async function connectAdmin(config: CliConfig): Promise<AdminClient> {
  return adminClient(await findGateway(config))
}

/** Without a token for the routes that need none. Never follows a redirect: what it sends is for `url` alone. */
export function adminClient(gateway: Gateway | { readonly url: string }): AdminClient {
  const { url } = gateway
  const request = async (method: string, path: string, body?: object): Promise<Response> => {
    const headers: Record<string, string> = { 'content-type': 'application/json' }
    if ('token' in gateway) headers['authorization'] = `Bearer ${gateway.token}`
    const init = { method, headers, redirect: 'manual' as const }
    const answer = await fetch(
      `${url}${path}`,
      body === undefined ? init : { ...init, body: JSON.stringify(body) },
    ).catch((cause: unknown) => {
      throw new CommandError(`no gateway answers at ${url}`, {
        hint: 'from' in gateway && gateway.from === 'dev' ? START_HINT : ELSEWHERE_HINT,
        cause,
      })
    })
    if (answer.status === 401 && 'token' in gateway) throw notKnown(gateway)
    if (!answer.ok) throw await refusal(answer)
    return answer
  }
  const send =
    (method: string): Send =>
    async (path, body, schema) =>
      read(schema, await textOf(await request(method, path, body)), url)
  const linesBy = (method: string): Lines =>
    async function* lines(path, schema) {
      const answer = await request(method, path, method === 'POST' ? {} : undefined)
      for await (const line of linesOf(answer)) yield read(schema, line, url)
    }
  return {
    get: async (path, schema) => read(schema, await textOf(await request('GET', path)), url),
    post: send('POST'),
    put: send('PUT'),
    delete: async (path) => void (await request('DELETE', path)),
    deleteFor: async (path, schema) =>
      read(schema, await textOf(await request('DELETE', path)), url),
    lines: linesBy('GET'),
    postForLines: linesBy('POST'),
  }
}

const ELSEWHERE_HINT =
  'check that its PDP runs and has that URL; `cedargate login --url https://<pdp>` signs in to another'

function read<Schema extends z.ZodType>(schema: Schema, text: string, url: string) {
  const answer = schema.safeParse(parseJson(text))
  if (answer.success) return answer.data
  throw new CommandError(`what answers at ${url} is no Cedargate PDP, or one of another release`, {
    cause: answer.error,
  })
}

function textOf(answer: Response): Promise<string> {
  return answer.text().catch((cause: unknown) => {
    throw tooEarly(cause)
  })
}

function tooEarly(cause?: unknown): CommandError {
  return new CommandError('the gateway ended its answer too early', { cause })
}

/** The gateway answered 401: the token is good for nothing there. */
export class NotKnown extends CommandError {}

function notKnown({ url, from }: Gateway): NotKnown {
  if (from === 'login') {
    return new NotKnown(`${url} no longer knows your login session`, {
      hint: 'you were signed out, or it expired: `cedargate login` signs in again',
    })
  }
  return new NotKnown(`the gateway at ${url} does not know this operator token`, {
    hint:
      from === 'dev'
        ? 'stop the gateway and start it again'
        : 'set CEDARGATE_TOKEN to one that is good there, or unset both and `cedargate login --url`',
  })
}

const ROLES_HINT = '`cedargate whoami` says which roles you have'

async function refusal(answer: Response): Promise<CommandError> {
  const body: unknown = await answer.json().catch(() => undefined)
  const said = z.object({ message: z.string() }).safeParse(body)
  const message = said.success ? said.data.message : `the gateway answered ${answer.status}`
  const hint = answer.status === 403 ? { hint: ROLES_HINT } : retryHint(answer)
  return new CommandError(message, {
    exit: answer.status >= 500 ? EXIT.internal : EXIT.usage,
    ...hint,
  })
}

function retryHint(answer: Response): { hint?: string } {
  const seconds = answer.headers.get('retry-after')
  return seconds === null ? {} : { hint: `try again in ${seconds} seconds` }
}

async function* linesOf(answer: Response): AsyncIterable<string> {
  let rest = ''
  try {
    for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const lines = `${rest}${chunk}`.split('\n')
      rest = lines.pop() ?? ''
      yield* lines
    }
  } catch (cause) {
    throw tooEarly(cause)
  }
  if (rest !== '') throw tooEarly()
}
