// Owns the one translation of a decided request into Cedar's words: principal, action, resource, context, entities.
// Texts are built here once and travel as they are, to the engine and into the record. Pure.
import type { CedarTexts } from '../../../schemas/cedar.ts'
import { ENTITY, scopeAttribute } from '../../../schemas/cedar.ts'
import { ipText } from '../../../schemas/ip-text.ts'
import { type Ceilings, SCOPES } from '../../../schemas/scopes.ts'
import { recordText } from './arguments.ts'
import type { ContextReads } from './context-paths.ts'
import type { AuthorizationRequest } from './types.ts'

type Texts = ReadonlyMap<string, string>

/** What a context holds beside agent, grant, request and scopes. Attribute name → JSON text of its value. */
export type CallContext = { readonly [name in 'args' | 'argsMeta' | 'tool']?: Texts }

/** One request in Cedar's words. */
export type CedarRequest = {
  /** The whole of it, as it is recorded. */
  readonly texts: CedarTexts
  /** The same person, agent and moment asking for `action`, with that part of the context which `reads` names. */
  readonly reading: (action: string, reads: ContextReads) => CedarTexts
}

/**
 * Translates one request. The same request always gives the same texts. Throws RangeError on what no policy schema
 * could hold: an id that is not well-formed, a time beyond the year 9999, a source address that is none.
 */
export function toCedarRequest(
  of: AuthorizationRequest,
  action: string,
  call: CallContext,
): CedarRequest {
  const context = contextTexts(of, call)
  const entities = entitiesText(of)
  const request = scopeText(of, action)
  return {
    texts: { request, context: contextText(context, 'all'), entities },
    reading: (other, reads) => ({
      request: other === action ? request : scopeText(of, other),
      context: contextText(context, reads),
      entities,
    }),
  }
}

function scopeText(of: AuthorizationRequest, action: string): string {
  const principal = of.user === null ? entity(ENTITY.agent, of.agent) : entity(ENTITY.user, of.user)
  return recordText([
    ['principal', principal],
    ['action', entity(ENTITY.action, action)],
    ['resource', entity(ENTITY.server, of.server)],
  ])
}

/** Attribute → its text, or its inner attributes' texts. */
type ContextTexts = ReadonlyMap<string, string | Texts>

function contextTexts(of: AuthorizationRequest, call: CallContext): ContextTexts {
  const context = new Map<string, string | Texts>([['agent', entity(ENTITY.agent, of.agent)]])
  if (of.grant !== null) {
    const { id, expiresAt } = of.grant
    context.set(
      'grant',
      new Map([
        ['id', quoted(id)],
        ['expiresAt', datetime(expiresAt)],
      ]),
    )
  }
  context.set('request', requestTexts(of))
  context.set('scopes', scopesTexts(of.scopes))
  for (const [name, value] of Object.entries(call)) context.set(name, value)
  return context
}

function contextText(context: ContextTexts, reads: ContextReads): string {
  const entries: [string, string][] = []
  for (const [name, value] of context) {
    const read = reads === 'all' ? 'all' : reads.get(name)
    if (read === undefined) continue
    if (typeof value === 'string') entries.push([name, value])
    else if (read === 'all') entries.push([name, recordText(value)])
    else entries.push([name, recordText([...value].filter(([inner]) => read.has(inner)))])
  }
  return recordText(entries)
}

function requestTexts({ time, method, era, sourceIp }: AuthorizationRequest): Texts {
  const texts = new Map([
    ['time', datetime(time)],
    ['method', quoted(method)],
    ['era', quoted(era)],
  ])
  if (sourceIp !== null) texts.set('sourceIp', quoted(cedarIp(sourceIp)))
  return texts
}

/** `context.scopes`: of each scope, whether user, agent and grant have it. */
export function scopesOf({ user, agent, grant }: Ceilings): Readonly<Record<string, object>> {
  return Object.fromEntries(
    SCOPES.map((scope) => {
      const held = [user, agent, grant].map((of) => of.includes(scope))
      return [scopeAttribute(scope), { user: held[0], agent: held[1], grant: held[2] }]
    }),
  )
}

function scopesTexts(ceilings: Ceilings): Texts {
  const entries = Object.entries(scopesOf(ceilings))
  return new Map(entries.map(([scope, held]) => [scope, JSON.stringify(held)]))
}

/** Cedar reads neither a zone nor IPv4 notation inside IPv6. */
function cedarIp(address: string): string {
  const text = ipText(address)
  if (text === undefined) throw new RangeError('the source address is not an IP address')
  return text
}

/** The person with their teams. Everything else has neither attributes nor parents, so Cedar needs no entry. */
function entitiesText({ user, teams }: AuthorizationRequest): string {
  if (user === null) return '[]'
  const parents = [...new Set(teams)].toSorted().map((team) => entity(ENTITY.team, team))
  const entry: [string, string][] = [
    ['uid', entity(ENTITY.user, user)],
    ['attrs', '{}'],
    ['parents', `[${parents.join(',')}]`],
  ]
  return `[${recordText(entry)}]`
}

function entity(type: string, id: string): string {
  return `{"type":"${type}","id":${quoted(id)}}`
}

function quoted(text: string): string {
  if (!text.isWellFormed()) throw new RangeError('a text holds a lone surrogate')
  return JSON.stringify(text)
}

/** The last millisecond of the year 9999: Cedar reads four digits. */
const TIME_MAX = 253_402_300_799_999

function datetime(millis: number): string {
  if (!(millis >= 0 && millis <= TIME_MAX)) throw new RangeError('a time is out of range')
  return `"${new Date(millis).toISOString()}"`
}
