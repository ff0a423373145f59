// Owns `cedargate policy explain`: one request from flags, and its decision told with the policies that made it.
import { readFile } from 'node:fs/promises'
import { type Explanation, explain, type Part } from '../../../pdp/src/policy-tests/explain.ts'
import { paramsAsSent, requestOf } from '../../../pdp/src/policy-tests/message.ts'
import { type Ceilings, NO_CEILINGS, SCOPES, scopes } from '../../../schemas/scopes.ts'
import { type JsonObject, parseStrictJson } from '../../../schemas/strict-json.ts'
import type { Context } from '../commands/context.ts'
import { CommandError } from '../errors.ts'
import { type Format, printable, type Terminal } from '../output.ts'
import { orInvalid, readBundle } from './bundle.ts'

export type ExplainOptions = {
  readonly server: string
  readonly user?: string
  readonly team: readonly string[]
  readonly agent: string
  /** Of the grant; none: every one. */
  readonly scope: readonly string[]
  readonly tool?: string
  readonly args: string
  readonly method?: string
  readonly params: string
  readonly at?: string
  readonly format: Format
}

/** Of permits that came near, how many people are shown; JSON has all. */
const NEAR_SHOWN = 5

/** Explains one request; the verdict makes no difference to the exit code. Throws CommandError for bad flags. */
export async function explainRequest(
  { config, io }: Pick<Context, 'config' | 'io'>,
  directory: string,
  options: ExplainOptions,
): Promise<void> {
  const { method, params } = await messageOf(options)
  const time = options.at === undefined ? Date.now() : Date.parse(options.at)
  if (!Number.isFinite(time)) throw new CommandError('--at must be like 2026-01-31T12:00:00Z')
  const bundle = await orInvalid(() => readBundle(directory, config))
  const caller = {
    user: options.user ?? null,
    teams: options.team,
    agent: options.agent,
    scopes: ceilingsOf(options.scope),
    time,
    sourceIp: '127.0.0.1',
    era: undefined,
  }
  const request = requestOf(caller, { server: options.server, method, params })
  const explanation = await explain(bundle, request)
  if (options.format === 'json') return io.out(JSON.stringify(explanation, null, 2))
  print(io, explanation)
}

function ceilingsOf(written: readonly string[]): Ceilings {
  if (written.length === 0) return NO_CEILINGS
  const read = scopes.safeParse(written)
  if (!read.success) throw new CommandError(`--scope must be one of ${SCOPES.join(', ')}`)
  return { ...NO_CEILINGS, grant: read.data }
}

async function messageOf(
  options: ExplainOptions,
): Promise<{ readonly method: string; readonly params: JsonObject | undefined }> {
  const { tool, method = 'tools/call' } = options
  if (tool === undefined && options.method === undefined) {
    throw new CommandError('say --tool, or --method with --params')
  }
  const params = tool === undefined ? await jsonOf('--params', options.params) : undefined
  const given = params ?? { name: tool ?? '', arguments: await jsonOf('--args', options.args) }
  const sent = paramsAsSent(method, given)
  if (!sent.ok) throw new CommandError(`this cannot be sent: ${sent.detail}`)
  return { method, params: sent.params }
}

/** Strict, as the decision point reads: what it would refuse is refused here. */
async function jsonOf(flag: string, written: string): Promise<JsonObject> {
  const text = written.startsWith('@') ? await readText(flag, written.slice(1)) : written
  const json = parseStrictJson(text)
  if (!json.ok) throw new CommandError(`${flag}: ${json.message}`)
  const { value } = json
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new CommandError(`${flag} must be a JSON object`)
}

function readText(flag: string, path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: unknown) => {
    throw new CommandError(`${flag}: ${path} cannot be read`, { cause })
  })
}

function print(io: Terminal, explanation: Explanation): void {
  const { decision, code, detail, policies, near, visible, cedar } = explanation
  io.out(`${decision} (${code})${detail === '' ? '' : `: ${printable(detail)}`}`)
  for (const { id, role, effect, file, line, column, text } of policies) {
    const what = role === 'failed' ? 'failed to evaluate' : effect
    io.out(`\n${what} ${id}  ${file}:${line}:${column}\n${indented(text)}`)
  }
  for (const { id, file, line, column, parts } of near.slice(0, NEAR_SHOWN)) {
    io.out(`\nnear: permit ${id}  ${file}:${line}:${column}`)
    for (const part of parts) io.out(`  ${MARKS[part.holds]} ${printable(part.text)}`)
  }
  if (near.length > NEAR_SHOWN) io.out(`\nand ${near.length - NEAR_SHOWN} permits further off`)
  if (visible !== null) io.out(`\ntools listed: ${visible.map(printable).join(', ') || 'none'}`)
  if (cedar !== null) {
    io.out(`\nrequest ${JSON.stringify(cedar.request)}`)
    io.out(`entities ${JSON.stringify(cedar.entities)}`)
    io.out(`context ${JSON.stringify(cedar.context, null, 2)}`)
  }
}

const MARKS: { readonly [holds in Part['holds']]: string } = {
  yes: '✓',
  no: '✗',
  error: '! (fails to evaluate)',
  unreached: '- (not reached)',
}

function indented(text: string): string {
  return text
    .split(/\r?\n/)
    .map((line) => `  ${printable(line.replaceAll('\t', '  '))}`)
    .join('\n')
}
