// Owns what a server that is a channel of messages is to the sessions over it: a child on stdio, or a stream of the
// HTTP+SSE transport. Types only.
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { Credential } from '../credential.ts'

/** An open channel. It carries one session of the server, and a new one is another session. */
export type Channel = {
  /**
   * Sends one message, as this text, which holds no line end. Resolves when the server has taken it, where that can be
   * known; rejects with GatewayError when it did not, and the channel may go on.
   */
  readonly send: (text: string) => Promise<void>
  /** What is sent from now on is sent with this credential; it is masked in what comes, as are those before it. */
  readonly use: (credential: Credential | undefined) => void
  /** Resolves with the reason, for the log, when nothing more will come. Never rejects. */
  readonly gone: Promise<string>
  /** Resolves when it is gone. `isUrgent`: it may not live on for a while to put itself in order. */
  readonly close: (isUrgent?: boolean) => Promise<void>
}

export type ChannelPorts = {
  /**
   * Every JSON object that came, in order; `isMasked` where it held a credential. One in which that cannot be masked comes
   * as a response of its id that holds nothing. Must not throw.
   */
  readonly onMessage: (message: JsonObject, isMasked: boolean) => void
  /** Whose it is. */
  readonly caller: string | null
  /** What the channel is opened with; of a child, what its environment holds. */
  readonly credential: Credential | undefined
}

/** Opens one. Rejects with GatewayError. */
export type OpenChannel = (ports: ChannelPorts) => Promise<Channel>

/** How one server is spoken to. */
export type ChannelKind = {
  readonly open: OpenChannel
  /**
   * It is a process of the gateway's: no client chooses what it may touch, and its credential is that of its environment
   * until it ends.
   */
  readonly isOwn: boolean
  readonly stop: () => Promise<void>
}
