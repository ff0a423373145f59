// Owns talking to the running gateway's admin API: where it is, with which token, and what went wrong.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { EXIT } from '../../schemas/codes.ts'
import type { CliConfig } from './config.ts'
import { CommandError } from './errors.ts'

export type AdminClient = {
  readonly get: <Schema extends z.ZodType>(path: string, schema: Schema) => Promise<z.infer<Schema>>
  readonly post: <Schema extends z.ZodType>(
    path: string,
    body: object,
    schema: Schema,
  ) => Promise<z.infer<Schema>>
  readonly delete: (path: string) => Promise<void>
  readonly deleteFor: <Schema extends z.ZodType>(
    path: string,
    schema: Schema,
  ) => Promise<z.infer<Schema>>
  /** Lines of an NDJSON answer as they come. */
  readonly lines: <Schema extends z.ZodType>(
    path: string,
    schema: Schema,
  ) => AsyncIterable<z.infer<Schema>>
}

const devFacts = z.object({ pdpUrl: z.url(), operatorToken: z.string() })

/**
 * A client of CEDARGATE_URL with CEDARGATE_TOKEN, else of the `dev` gateway whose facts stand in
 * `$CEDARGATE_HOME/dev.json`. Throws CommandError (exit 2) when there is neither.
 */
export async function connectAdmin(config: CliConfig): Promise<AdminClient> {
  const { url, token } = await locate(config)
  const request = async (method: string, path: string, body?: object): Promise<Response> => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const init =
      body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) }
    const answer = await fetch(`${url}${path}`, init).catch((cause: unknown) => {
      throw new CommandError(`no gateway answers at ${url}`, {
        hint: 'start one with `npm start`',
        cause,
      })
    })
    if (answer.status === 401) throw unknownToken(url)
    if (!answer.ok) throw await refusal(answer)
    return answer
  }
  return {
    get: async (path, schema) => read(schema, await textOf(await request('GET', path)), url),
    post: async (path, body, schema) =>
      read(schema, await textOf(await request('POST', path, body)), url),
    delete: async (path) => void (await request('DELETE', path)),
    deleteFor: async (path, schema) =>
      read(schema, await textOf(await request('DELETE', path)), url),
    lines: async function* lines(path, schema) {
      for await (const line of linesOf(await request('GET', path))) yield read(schema, line, url)
    },
  }
}

async function locate({ url, token, home }: CliConfig): Promise<{ url: string; token: string }> {
  if (url !== undefined && token !== undefined) return { url: url.replace(/\/$/, ''), token }
  if (url !== undefined || token !== undefined) {
    throw new CommandError(
      'CEDARGATE_URL and CEDARGATE_TOKEN belong together: one of them is not set',
    )
  }
  const path = join(home, 'dev.json')
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) {
    throw new CommandError(`no running gateway found: ${path} does not exist`, {
      hint: 'start one with `npm start`, or set CEDARGATE_URL and CEDARGATE_TOKEN',
    })
  }
  const facts = devFacts.safeParse(parseJson(text))
  if (facts.success) return { url: facts.data.pdpUrl, token: facts.data.operatorToken }
  throw new CommandError(`${path} is damaged`, { hint: 'stop the gateway and start it again' })
}

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

/** Undefined for what is not JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function unknownToken(url: string): CommandError {
  return new CommandError(`the gateway at ${url} does not know this operator token`, {
    hint: 'set CEDARGATE_TOKEN to the one that `cedargate keys create` printed for it',
  })
}

async function refusal(answer: Response): Promise<CommandError> {
  const body: unknown = await answer.json().catch(() => undefined)
  const said = z.object({ message: z.string() }).safeParse(body)
  const message = said.success ? said.data.message : `the gateway answered ${answer.status}`
  return new CommandError(message, { exit: answer.status >= 500 ? EXIT.internal : EXIT.usage })
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
