// Owns what connecting an account takes and gives. Types only.
import type { Clock } from '../../../../schemas/ports.ts'
import type { MayConnect, SignedIn } from '../../identity/may-connect.ts'
import type { Connected } from '../connections.ts'
import type { ClientFor, ClientStore } from './client.ts'
import type { Discover, OauthTarget } from './discover.ts'
import type { IdpSignIn } from './idp-sign-in.ts'
import type { StepSeal } from './steps.ts'

export type ConnectPorts = {
  readonly publicUrl: string
  readonly clock: Clock
  readonly seal: StepSeal
  /** A text that nobody can guess. */
  readonly random: () => string
  /** Undefined: there is no login file. */
  readonly idp: IdpSignIn | undefined
  /** Whose ID token that is here, its signature checked. Rejects with ConnectRefused. */
  readonly whoIs: (idToken: string) => Promise<SignedIn>
  /** Of the bundle that decides now; undefined: no such server, or none with an OAuth credential. */
  readonly targetOf: (server: string) => OauthTarget | undefined
  readonly mayConnect: MayConnect
  readonly discover: Discover
  readonly clientFor: ClientFor
  readonly forgetClient: ClientStore['forgetClient']
  /** Records it, then keeps it. Rejects when it could not be recorded: then nothing was kept. */
  readonly connected: (done: Connected) => Promise<void>
  /** For the log: why an authorization server or the identity provider could not be used. */
  readonly onFailure: (error: unknown) => void
}

/** What the browser holds next. */
type Next = { readonly cookie: string }
export type Consent = {
  readonly server: string
  readonly user: string | null
  /** A user id. */
  readonly by: string
  readonly issuer: string
  /** Of the authorization endpoint. */
  readonly host: string
  /** The origin of the server: what is given goes there, with every call. */
  readonly sentTo: string
  /** What is asked for there; null: nothing by name. */
  readonly scope: string | null
  readonly csrf: string
}

/** Each rejects with ConnectRefused: the page says its message. `cookie`: what the browser holds. */
export type Connect = {
  readonly start: (server: string, user: string | null) => Promise<Next & { readonly url: string }>
  readonly signedIn: (query: string, cookie: string | undefined) => Promise<Next>
  readonly consent: (cookie: string | undefined) => Promise<Consent>
  readonly agree: (
    csrf: string | undefined,
    cookie: string | undefined,
  ) => Promise<Next & { readonly url: string; readonly host: string }>
  /** `server`: whose redirect URI they came back to. */
  readonly callback: (
    server: string,
    query: string,
    cookie: string | undefined,
  ) => Promise<Pick<Connected, 'server' | 'user' | 'issuer'>>
}
