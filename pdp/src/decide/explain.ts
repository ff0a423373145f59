// Owns the sentence a person reads when a call was refused. Pure; names policies and ids, never an argument value.
import { SERVER_REQUESTS, type Sender, type ServerRequest } from '../../../schemas/mcp.ts'
import type { Authorization } from '../authorize/types.ts'

/** What was refused. `tool`: the one a call is of, or null. */
export type Refused = {
  readonly server: string
  readonly from: Sender
  readonly method: string
  readonly tool: string | null
}

type Refusal = Pick<Authorization, 'code' | 'policies' | 'errors' | 'detail'> & {
  readonly what: Refused
  readonly decisionId: string
  /** gateway.yaml `access`: how to get access. */
  readonly access: string
}

/**
 * One paragraph: what was refused, by which policy (or that none permits it), the decision id, how to get access. Of
 * what a server wanted it says too that the call it wanted it for is another matter.
 */
export function explainRefusal(refusal: Refusal): string {
  const { what, code } = refusal
  const sentences = [
    `Refused by the policy gateway: ${named(what)} (${code})`,
    because(refusal),
    ...(what.from === 'server' ? [NOT_UNDONE] : []),
    `Decision ${refusal.decisionId}`,
    `To get access: ${refusal.access}`,
  ]
  return sentences.map((sentence) => `${sentence}.`).join(' ')
}

const NOT_UNDONE =
  'Only this was refused: a call that is under way at the server goes on, and nothing of it was undone'

const WANTED: { readonly [method in ServerRequest]: string } = {
  'sampling/createMessage': 'to have a text made by the model of this client',
  'elicitation/create': 'to ask the person at this client for something',
  'roots/list': 'to know the directories that this client works in',
}

function named({ server, from, method, tool }: Refused): string {
  if (from === 'client') return tool ? `${server}/${tool}` : `${method} on ${server}`
  const known = SERVER_REQUESTS.find((request) => request === method)
  const wanted = known === undefined ? 'something of this client' : WANTED[known]
  return `the server ${server} wanted ${wanted}, ${method}`
}

function because({ code, policies, errors, detail }: Refusal): string {
  if (code === 'no_permit') return 'No policy permits it'
  if (code === 'policy_error') return `A policy could not be evaluated: ${errors.join(', ')}`
  if (policies.length === 0) return capitalised(detail)
  const forbidden = `Forbidden by ${policies.join(', ')}`
  return detail === '' ? forbidden : `${forbidden}: ${detail}`
}

function capitalised(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`
}
