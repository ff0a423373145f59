// Owns the one translation of a decided request into Cedar's words: principal, action, resource, context, entities.
// Texts are built here once and travel as they are, to the engine and into the record. Pure.
import type { CedarTexts } from '../../../schemas/cedar.ts'
import { ENTITY } from '../../../schemas/cedar.ts'
import { recordText } from './arguments.ts'
import type { AuthorizationRequest } from './types.ts'

type Texts = ReadonlyMap<string, string>

/** What a context holds beside agent, grant and request. Attribute name → JSON text of its value. */
export type CallContext = { readonly [name in 'args' | 'argsMeta' | 'tool']?: Texts }

/**
 * The texts of one Cedar call. The same request always gives the same texts. Throws RangeError when `time` or
 * `expiresAt` is no date. Does NOT check ids or the context against the schema: Cedar does.
 */
export function toCedarRequest(
  of: AuthorizationRequest,
  action: string,
  call: CallContext,
): CedarTexts {
  const principal = of.user === null ? entity(ENTITY.agent, of.agent) : entity(ENTITY.user, of.user)
  const request = recordText([
    ['principal', principal],
    ['action', entity(ENTITY.action, action)],
    ['resource', entity(ENTITY.server, of.server)],
  ])
  return { request, context: contextText(of, call), entities: entitiesText(of) }
}

function contextText(of: AuthorizationRequest, call: CallContext): string {
  const attributes: [string, string][] = [['agent', entity(ENTITY.agent, of.agent)]]
  if (of.grant !== null) {
    const { id, expiresAt } = of.grant
    const expires = JSON.stringify(new Date(expiresAt).toISOString())
    attributes.push([
      'grant',
      recordText([
        ['id', JSON.stringify(id)],
        ['expiresAt', expires],
      ]),
    ])
  }
  attributes.push(['request', requestText(of)])
  for (const [name, value] of Object.entries(call)) attributes.push([name, recordText(value)])
  return recordText(attributes)
}

function requestText({ time, method, era, sourceIp }: AuthorizationRequest): string {
  const attributes: [string, string][] = [
    ['time', JSON.stringify(new Date(time).toISOString())],
    ['method', JSON.stringify(method)],
    ['era', JSON.stringify(era)],
  ]
  if (sourceIp !== null) attributes.push(['sourceIp', JSON.stringify(cedarIp(sourceIp))])
  return recordText(attributes)
}

/** Cedar reads neither `::ffff:127.0.0.1` nor a zone (`fe80::1%eth0`). What it cannot read then denies. */
function cedarIp(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '')
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
  return `{"type":"${type}","id":${JSON.stringify(id)}}`
}
