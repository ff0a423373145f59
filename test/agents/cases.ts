// Owns what is asked of each agent, and what its model must then have read: the words of the server or of the gateway,
// whole and with nothing around them that only a programmer can read.
import { isDeepStrictEqual } from 'node:util'
import type { DecisionRow } from '../../schemas/decisions-api.ts'
import type { Agent } from './agents.ts'
import type { Gateway } from './gateway.ts'
import type { ModelSaw, ToolCall } from './stub.ts'

export type Case = {
  readonly name: string
  readonly about: string
  readonly call: (agent: string) => ToolCall
  /** What the gateway says; null where the call must not get as far as the gateway. */
  readonly decided: { readonly verdict: 'allow' | 'deny'; readonly policies: readonly string[] } | null
} // biome-ignore format: long lines

export const CASES: readonly Case[] = [
  {
    name: 'allow',
    about: 'a call that a policy permits is made, and answered by the server',
    call: (agent) => write(`drafts/${agent}.txt`),
    decided: { verdict: 'allow', policies: ['engineering/write-drafts'] },
  },
  {
    name: 'deny',
    about: 'a tool that is listed and that a policy forbids altogether',
    call: (agent) => ({ tool: 'create_directory', args: { path: `drafts/${agent}` } }),
    decided: { verdict: 'deny', policies: ['files/freeze'] },
  },
  {
    name: 'argument',
    about: 'a permitted tool with an argument that a policy forbids',
    call: () => write('drafts/../notes.txt'),
    decided: { verdict: 'deny', policies: ['files/writes-below-drafts'] },
  },
  {
    name: 'unlisted',
    about: 'a tool of the server that this person is not shown',
    call: () => ({ tool: 'move_file', args: { source: 'notes.txt', destination: 'n.txt' } }),
    decided: null,
  },
]

/** Runs one case on one agent. Answers what the model read, and everything that is not as it must be. */
export async function runCase(
  { call: callOf, decided }: Case,
  agent: Agent,
  gateway: Gateway,
): Promise<{ readonly text: string; readonly problems: readonly string[] }> {
  const call = callOf(agent.name)
  const [before, known] = [await stateOf(gateway), await gateway.calls()]
  const { saw, printed } = await agent.run(call, gateway.target)
  if (saw === undefined)
    return { text: '', problems: [`the model was never told how the call ended:\n${printed}`] }
  const rows = (await gateway.calls()).slice(0, -known.length || undefined)
  const own = { call, saw, rows, gateway }
  const changed = !isDeepStrictEqual(await stateOf(gateway), before)
  const problems = [
    ...(decided === null ? unsent(own) : decidedProblems({ ...own, ...decided })),
    ...(decided === null || decided.verdict === 'deny' ? refusal(own) : []),
    ...(decided?.verdict === 'allow' ? await written(own) : changed ? ['it was done'] : []),
    ...(decided?.verdict === 'deny' ? await exactly(own) : []),
  ]
  return { text: wordsOf(saw), problems }
}

type Seen = {
  readonly call: ToolCall
  readonly saw: ModelSaw
  /** What the run added to the record. */
  readonly rows: readonly DecisionRow[]
  readonly gateway: Gateway
}

function write(path: string): ToolCall {
  return { tool: 'write_file', args: { path, content: 'written by an agent\n' } }
}

async function stateOf(gateway: Gateway): Promise<unknown> {
  return [await gateway.files(), await gateway.read('notes.txt')]
}

function unsent({ rows }: Seen): string[] {
  return rows.length === 0 ? [] : [`the gateway was asked: ${JSON.stringify(rows)}`]
}

function decidedProblems({ call, rows, verdict, policies }: Seen & NonNullable<Case['decided']>) {
  const [row, ...others] = rows
  if (row === undefined) return ['no decision is in the record']
  const { tool, arguments: args } = row
  const found = { tool, args, verdict: row.verdict, policies: row.policies }
  const wanted = { ...call, verdict, policies }
  return [
    ...(others.length > 0 ? ['more than one call is in the record'] : []),
    ...(isDeepStrictEqual(found, wanted) ? [] : [`the record says ${JSON.stringify(found)}`]),
  ]
}

/** What a programmer would want and a model should not read. */
const TRACE = /\n\s+at |stack backtrace|RUST_BACKTRACE|panicked at|-3[12]\d{3}/

function refusal({ saw }: Seen): string[] {
  return [
    ...(saw.isError === false ? ['the model was not told that it is an error'] : []),
    ...(TRACE.test(saw.text) ? ['the model reads a stack trace or a protocol error'] : []),
  ]
}

async function written({ call, saw, gateway }: Seen): Promise<string[]> {
  const { path, content } = call.args
  const found = await gateway.read(String(path)).catch(() => undefined)
  return [
    ...(saw.isError === true ? ['the model was told that it is an error'] : []),
    ...(found === content ? [] : ['the file was not written']),
    ...(saw.text.includes(`Successfully wrote to ${String(path)}`)
      ? []
      : ['the server’s answer did not reach the model']),
  ]
}

const ID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/

/** Word for word what any client is told, with the decision of this very call. */
async function exactly({ call, saw, rows, gateway }: Seen): Promise<string[]> {
  const said = wordsOf(saw)
  const wanted = await gateway.textFor(call)
  const [id] = ID.exec(said) ?? []
  return [
    ...(said.replace(ID, '') === wanted.replace(ID, '') ? [] : [`not the gateway’s words: ${wanted}`]),
    ...(id !== undefined && id === rows[0]?.id ? [] : ['its decision is not the one in the record']),
  ]
} // biome-ignore format: long lines

/** Codex says how long a call took before it says anything else. */
function wordsOf({ text }: ModelSaw): string {
  return text.replace(/^Wall time: [\d.]+ seconds\nOutput:\n/, '')
}
