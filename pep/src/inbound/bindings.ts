// Owns binding what a server coins (session ids, task ids, `requestState`) to the grant and server it was coined for,
// without keeping any of it. A binding is not authentication: every request brings its token and is decided.
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { RefusalCode } from '../../../schemas/codes.ts'
import type { BindingKey } from '../../../schemas/pep-api.ts'
import { GatewayError } from '../gateway-error.ts'
import { REQUEST_STATE_MS_MAX, SESSION_ID_LENGTH_MAX, TASK_ID_LENGTH_MAX } from '../limits.ts'
import { MASK } from '../mask/masker.ts'

export type Bound = 'session' | 'task' | 'state'

/** Whose it is. `use`: what it may be used for beside, such as the method and name that a state belongs to. */
export type Owner = {
  readonly server: string
  readonly grant: string
  readonly use?: string
}

export type Bindings = {
  /**
   * What the client gets to see for the server's `value`. Throws upstream_invalid on a session or task id outside the
   * protocol, pdp_unavailable while there is no key for the server.
   */
  readonly bind: (kind: Bound, owner: Owner, value: string) => string
  /** The server's own value. Throws unknown_session, unknown_task or invalid_state unless `bound` was made for `owner`. */
  readonly open: (kind: Bound, owner: Owner, bound: string) => string
  /** Takes the keys that the PDP has for this PEP's servers in place of those it had. */
  readonly use: (keys: readonly BindingKey[]) => void
}

const REFUSED: Readonly<Record<Bound, RefusalCode>> = {
  session: 'unknown_session',
  task: 'unknown_task',
  state: 'invalid_state',
}

/** `now`: milliseconds since 1970. A state is good for REQUEST_STATE_MS_MAX; ids have no end of their own. */
export function createBindings(now: () => number): Bindings {
  let keys = new Map<string, readonly { readonly id: string; readonly key: Buffer }[]>()
  return {
    bind(kind, owner, value) {
      checkValue(kind, value)
      const [current] = keys.get(owner.server) ?? []
      if (current === undefined) {
        throw new GatewayError('pdp_unavailable', `no binding key of ${owner.server} is known`)
      }
      const made = kind === 'state' ? now().toString(36) : '0'
      const encoded = Buffer.from(value).toString('base64url')
      const tag = tagOf(current.key, [kind, owner, made, value])
      return ['v2', current.id, made, encoded, tag.toString('base64url')].join('.')
    },
    open(kind, owner, bound) {
      const refuse = (why: string) => new GatewayError(REFUSED[kind], why)
      const [version, id, made = '', encoded = '', tag = '', ...rest] = bound.split('.')
      const found = keys.get(owner.server)?.find((key) => key.id === id)
      if (version !== 'v2' || found === undefined || rest.length > 0) {
        throw refuse(`the ${kind} was not bound with a key of ${owner.server}`)
      }
      const value = Buffer.from(encoded, 'base64url').toString()
      const expected = tagOf(found.key, [kind, owner, made, value])
      const given = Buffer.from(tag, 'base64url')
      const isOurs =
        given.length === expected.length &&
        timingSafeEqual(given, expected) &&
        expected.toString('base64url') === tag
      if (!isOurs) throw refuse(`the ${kind} is of another grant, server or use`)
      const age = now() - Number.parseInt(made, 36)
      if (kind === 'state' && age > REQUEST_STATE_MS_MAX) throw refuse(`the ${kind} is too old`)
      return value
    },
    use(given) {
      const byServer = Map.groupBy(given, ({ server }) => server)
      keys = new Map(
        [...byServer].map(([server, own]) => [
          server,
          own.map(({ id, key }) => ({ id, key: Buffer.from(key, 'base64url') })),
        ]),
      )
    },
  }
}

function tagOf(key: Buffer, [kind, owner, made, value]: [Bound, Owner, string, string]): Buffer {
  const { server, grant, use = '' } = owner
  const text = JSON.stringify([kind, server, grant, use, made, value])
  return createHmac('sha256', key).update(text).digest()
}

function checkValue(kind: Bound, value: string): void {
  if (
    kind === 'session' &&
    !(/^[\x21-\x7e]+$/.test(value) && value.length <= SESSION_ID_LENGTH_MAX)
  )
    throw new GatewayError('upstream_invalid', 'the session id of the server is not visible ASCII')
  if (kind === 'task' && value.length > TASK_ID_LENGTH_MAX)
    throw new GatewayError('upstream_invalid', 'the task id of the server is too long')
  if (value.includes(MASK))
    throw new GatewayError('upstream_invalid', `the ${kind} of the server held its credential`)
  if (!value.isWellFormed())
    throw new GatewayError('upstream_invalid', `the ${kind} of the server is not Unicode`)
}
