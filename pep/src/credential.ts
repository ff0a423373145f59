// Owns what the PDP released for one call: believing its shape, and keeping it from everything that prints. Nothing of it
// is written anywhere but into the request, or the environment of the child, that it is for.
import {
  isCredentialHeader,
  isCredentialVariable,
  isHeaderText,
  isVariableText,
  type ReleasedCredential,
} from '../../schemas/credentials.ts'
import { CREDENTIAL_NAMES_MAX, CREDENTIAL_SECRET_LENGTH_MIN } from '../../schemas/limits.ts'
import { type Forms, formsOf } from './mask/forms.ts'
import { type Masker, maskerOf } from './mask/masker.ts'

/** JSON, pino and `util.inspect` see id and version alone. */
export class Credential {
  readonly #released: ReleasedCredential
  #masker: Masker | undefined
  readonly id: string
  readonly version: number

  constructor(released: ReleasedCredential) {
    this.#released = released
    this.id = released.id
    this.version = released.version
  }

  /** For every request of the call, names in lower case. What is encoded could not be searched for it. */
  headers(): Readonly<Record<string, string>> {
    return { 'accept-encoding': 'identity', ...this.#released.headers }
  }

  /** For the environment of the child of the session. */
  env(): Readonly<Record<string, string>> {
    return this.#released.env
  }

  /** Finds it in what the server says. */
  masker(): Masker {
    this.#masker ??= maskerOf([this.forms()])
    return this.#masker
  }

  /** What to find of it. */
  forms(): Forms {
    return formsOf(textsIn(this.#released))
  }

  /** Whether it has the same secrets, whatever the versions say: a restored database counts them anew. */
  isSame(other: Credential): boolean {
    const [own, others] = [this.#released.secrets, other.#released.secrets]
    return own.length === others.length && own.every((one, index) => one === others[index])
  }

  /** Characters of its secrets. */
  get length(): number {
    return this.#released.secrets.reduce((sum, { length }) => sum + length, 0)
  }
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * Whether `value` is a `releasedCredential` (schemas/credentials.ts) that can be sent as it is. Every value it sends must
 * be one of its secrets, or a scheme and one of them: what is in none could not be found in an answer.
 */
export function isReleased(value: unknown): value is ReleasedCredential {
  if (!isRecord(value)) return false
  const { id, version, headers, env, secrets, ...rest } = value
  if (Object.keys(rest).length > 0 || typeof id !== 'string' || !UUID.test(id)) return false
  if (!Number.isSafeInteger(version) || Number(version) < 1) return false
  if (!Array.isArray(secrets) || !secrets.every((one) => typeof one === 'string' && one !== ''))
    return false
  const known = secrets as readonly string[]
  return (
    isSent(headers, isCredentialHeader, (text) => isHeaderText(text) && isKnown(text, known)) &&
    isSent(env, isCredentialVariable, (text) => isVariableText(text) && known.includes(text))
  )
}

function isSent(
  value: unknown,
  isName: (name: string) => boolean,
  isText: (text: string) => boolean,
): boolean {
  if (!isRecord(value)) return false
  const entries = Object.entries(value)
  if (entries.length > CREDENTIAL_NAMES_MAX) return false
  return entries.every(([name, text]) => isName(name) && typeof text === 'string' && isText(text))
}

/** `Bearer x` and `Basic x` show no more than x does. Of every call: `endsWith` and a pattern that copies cost µs each. */
function isKnown(text: string, secrets: readonly string[]): boolean {
  return secrets.some((secret) => {
    const at = text.length - secret.length
    return at >= 0 && text.slice(at) === secret && isScheme(text.slice(0, at))
  })
}

function isScheme(before: string): boolean {
  return before === '' || SCHEME.test(before)
}

/** What must not come back: the secrets, and what of a header is one that was set with its scheme. */
export function textsIn({
  headers,
  secrets,
}: Pick<ReleasedCredential, 'headers' | 'secrets'>): string[] {
  const within = Object.entries(headers).flatMap(([name, text]) => {
    const [, secret = ''] = (name.endsWith('authorization') ? ANY_SCHEME : SCHEMED).exec(text) ?? []
    const pair = /^basic /i.test(text) ? Buffer.from(secret, 'base64').toString() : ''
    return [secret, pair, pair.slice(pair.indexOf(':') + 1)]
  })
  const found = within.filter((text) => text.length >= CREDENTIAL_SECRET_LENGTH_MIN)
  return [...new Set([...secrets, ...found])]
}

const SCHEME = /^(?:bearer|basic) +$/i
const SCHEMED = /^(?:bearer|basic) +(.+)$/i
const ANY_SCHEME = /^[\w-]+ +(.+)$/

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
