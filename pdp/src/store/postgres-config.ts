// Owns what every PostgreSQL connection of ours has in common, and how its failures are told.
import { types } from 'pg'
import { IDENTITY_TIMEOUT_MS } from '../../../schemas/limits.ts'
import { StoreError } from './store-error.ts'

const CONNECTIONS_DEFAULT = 8
const CONNECTIONS_PROMPT = 4
const CONNECT_TIMEOUT_MS = 5_000
/** Nothing we run takes this long; a statement that does is stuck behind somebody's lock. */
const STATEMENT_TIMEOUT_MS = 30_000

type Connected = { query: (text: string) => Promise<{ rows: { synchronous_commit?: string }[] }> }

/** What every connection has; the last word on a pool's own settings is its caller's. */
export function clientConfig(url: string, role: string | undefined) {
  return {
    connectionString: withRoleOption(url, role),
    keepAlive: true,
    application_name: 'cedargate',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    types: { getTypeParser },
  }
}

export function poolConfig(url: string, role: string | undefined, max = CONNECTIONS_DEFAULT) {
  return { ...clientConfig(url, role), max, onConnect: assertDurable }
}

/** Connections whose statements are answered in time or given up. */
export function promptConfig(url: string, role: string | undefined) {
  return {
    ...poolConfig(url, role, CONNECTIONS_PROMPT),
    connectionTimeoutMillis: IDENTITY_TIMEOUT_MS,
    statement_timeout: IDENTITY_TIMEOUT_MS,
    query_timeout: IDENTITY_TIMEOUT_MS,
  }
}

/** A commit that is not on disk is no record: an allow would be forwarded on a promise. */
async function assertDurable(client: Connected): Promise<void> {
  const { rows } = await client.query('show synchronous_commit')
  const setting = rows[0]?.synchronous_commit
  if (setting === 'on' || setting === 'remote_apply') return
  throw new StoreError(
    `the database of DATABASE_URL has synchronous_commit=${setting}; set it to on for this role`,
  )
}

/**
 * The role is part of the connection, so no statement ever runs without it. Of two `options`, pg
 * reads the last.
 */
function withRoleOption(url: string, role: string | undefined): string {
  if (role === undefined) return url
  const own = /[?&]options=([^&]*)/.exec(url)?.[1] ?? ''
  const options = `${decodeURIComponent(own.replaceAll('+', ' '))} -c role=${role}`
  return `${url}${url.includes('?') ? '&' : '?'}options=${encodeURIComponent(options.trim())}`
}

type TypeId = Parameters<typeof types.getTypeParser>[0]

/** int8 as a number: all of ours are counts and milliseconds, far below 2^53. */
function getTypeParser(oid: TypeId, format?: 'text' | 'binary') {
  return oid === types.builtins.INT8 ? Number : types.getTypeParser(oid, format)
}

const UNREACHABLE = /^(ECONN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENOENT|EACCES|EPIPE)/
/**
 * invalid_authorization, invalid_password, invalid_catalog_name; too_many_connections; shutdown
 * states.
 */
const REFUSED = new Set(['28000', '28P01', '3D000', '53300', '57P01', '57P02', '57P03'])

/**
 * A failure to connect becomes one line that names the setting; an error of a statement stays as it
 * is.
 */
export function databaseError(error: unknown, url: string): unknown {
  const code = (error as { code?: unknown } | null)?.code
  const message = error instanceof Error ? error.message : String(error)
  const unreachable =
    (typeof code === 'string' && (UNREACHABLE.test(code) || REFUSED.has(code))) ||
    message.includes('connection timeout')
  if (!unreachable) return error
  const reason = message === '' ? String(code) : message
  return new StoreError(
    `cannot use the database at ${describeUrl(url)} (DATABASE_URL): ${reason}`,
    {
      cause: error,
    },
  )
}

/** Host, port and database; never user, password or options. */
export function describeUrl(url: string): string {
  try {
    // A URL with a user and a socket directory has no host, which URL does not take.
    const { hostname, port, pathname, searchParams } = new URL(url.replace('@/', '@localhost/'))
    const host = searchParams.get('host') ?? hostname
    return `${host || 'localhost'}:${searchParams.get('port') ?? (port || '5432')}${pathname}`
  } catch {
    return 'an address that is not a URL'
  }
}
