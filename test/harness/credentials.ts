// Owns the credential room of one PDP for tests: the real one over a real database, with an authorization server in the
// test's hands.
import { randomBytes } from 'node:crypto'
import { afterEach } from 'vitest'
import type { Release } from '../../pdp/src/credentials/broker.ts'
import { type Credentials, openCredentials } from '../../pdp/src/credentials/credentials.ts'
import { openKeyRing } from '../../pdp/src/credentials/key-ring.ts'
import type { Renew } from '../../pdp/src/credentials/renewal.ts'
import { openChangeFeed } from '../../pdp/src/identity/change-feed.ts'
import type { SignedIn } from '../../pdp/src/identity/may-connect.ts'
import { type Kek, newKeyLine, parseKeks, readKekFile } from '../../pdp/src/keys/key-file.ts'
import { systemClock } from '../../pdp/src/main.ts'
import type { Store } from '../../pdp/src/store/open.ts'
import { type CredentialDeclaration, credentialDeclaration } from '../../schemas/credentials.ts'
import type { Clock } from '../../schemas/ports.ts'

export type TestCredentials = Credentials & {
  readonly results: string[]
  readonly faults: string[]
  readonly stop: () => Promise<void>
}

export type TestCredentialOptions = {
  /** By server, as server.yaml says it. */
  readonly declared: Readonly<Record<string, object>>
  readonly keks?: Kek[]
  /** Where their file is, instead. */
  readonly keyDirectory?: string | undefined
  readonly renew?: Renew
  /** The authorization server of every server. */
  readonly issuerOf?: string
  /** By server, where it is now. */
  readonly destinations?: Readonly<Record<string, string>>
  readonly clock?: Clock
}

export function newKek(): Kek {
  const [kek] = parseKeks(newKeyLine(), 'a test')
  if (kek === undefined) throw new Error('no key was made')
  return kek
}

/** What they have unless a test says otherwise. */
export const sharedKek = newKek()

/** Two of them on one store are two PDPs of one deployment. */
async function openTestCredentials(
  store: Store,
  {
    declared,
    keks = [sharedKek],
    keyDirectory,
    renew = refuse,
    clock = systemClock,
    destinations = {},
    issuerOf = 'https://as.test',
  }: TestCredentialOptions,
): Promise<TestCredentials> {
  const feed = openChangeFeed({ store, clock, onFailure: () => {} })
  await feed.start()
  const read = async () => (keyDirectory === undefined ? keks : readKekFile(keyDirectory))
  const results: string[] = []
  const faults: string[] = []
  const credentials = openCredentials({
    store,
    feed,
    ring: await openKeyRing({ source: 'the test', read, clock }),
    clock,
    random: (bytes) => randomBytes(bytes),
    declarationOf: (server) => declarationOf(declared[server]),
    destinationOf: (server) => destinations[server] ?? 'https://server.test',
    issuerOf: async () => issuerOf,
    linkOf: ({ server, user }) => `https://pdp.test/connect/${server}?user=${user}`,
    renew,
    unbound: () => undefined,
    onResult: (_, result, error) =>
      results.push(error instanceof Error ? `${result}: ${error.message}` : result),
    onFault: (_, error) => faults.push(String(error)),
    onFailure: (error) => faults.push(String(error)),
  })
  return { ...credentials, results, faults, stop: () => feed.stop() }
}

/**
 * Opens them with these declarations and more, and ends them after each test, with all that they kept. Of a suite of
 * `onEachDatabase`.
 */
export function credentialsOf(
  declared: TestCredentialOptions['declared'],
  store: () => Store,
): (options?: Partial<TestCredentialOptions>) => Promise<TestCredentials> {
  const opened: TestCredentials[] = []
  afterEach(async () => {
    await Promise.all(opened.splice(0).map(({ stop }) => stop()))
    await store().sql.query('delete from credentials')
  })
  return async (options) => {
    const here = await openTestCredentials(store(), { declared, ...options })
    opened.push(here)
    return here
  }
}

/** A user who signed in at an identity provider, and is a keeper by their groups unless it is said otherwise. */
export async function signedInUser(
  { sql }: Pick<Store, 'sql'>,
  user: string,
  isKeeper = true,
): Promise<SignedIn> {
  const link = { issuer: 'https://idp.test', subject: user }
  await sql.query(
    `insert into users as u (id, teams, created, issuer, subject) values ($1, '{}', now(), $2, $3)
     on conflict (id) do update set issuer = excluded.issuer, subject = excluded.subject`,
    [user, link.issuer, link.subject],
  )
  return { user, ...link, isKeeper }
}

/** What a call goes with, and null without; or why it may not go. */
export function headersOf(release: Release): Readonly<Record<string, string>> | string | null {
  return 'credential' in release ? (release.credential?.headers ?? null) : release.unavailable
}

/** What one call of this server for this person is sent with. */
export async function releaseOne(
  of: TestCredentials,
  server: string,
  user: string | null = null,
): Promise<Release> {
  const [release] = await of.release([{ server, user }])
  if (release === undefined) throw new Error('no answer')
  return release
}

const refuse: Renew = () => Promise.reject(new Error('this test has no authorization server'))

function declarationOf(said: object | undefined): CredentialDeclaration | undefined {
  return said === undefined ? undefined : credentialDeclaration.parse(said)
}
