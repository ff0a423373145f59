// Owns the channel of one session, and a new one in the place of one that was lost, greeted as the first one was. Sends
// nothing else by itself: what was under way is not sent again.
import type { JsonObject } from '../../../schemas/strict-json.ts'
import type { Credential } from '../credential.ts'
import { GatewayError } from '../gateway-error.ts'
import type { Inbound } from '../inbound/receive.ts'
import { CHANNEL_LOSSES_MAX, CHANNEL_LOSSES_MS, CHANNEL_REOPEN_TIMEOUT_MS } from '../limits.ts'
import { isObject } from '../passage/server-message.ts'
import type { Monotonic } from '../ports.ts'
import type { Channel, ChannelPorts, OpenChannel } from './channel.ts'
import { answerOn } from './connect-channel.ts'

export type KeptChannelPorts = {
  readonly open: OpenChannel
  readonly monotonic: Monotonic
  /** What the server says, but for its answers to being greeted again. */
  readonly onMessage: ChannelPorts['onMessage']
  /** As of a channel. */
  readonly caller: ChannelPorts['caller']
  /** Of whom the first channel is for. */
  readonly credential: Credential | undefined
  /** A child has the credential of its environment until it ends. */
  readonly isOwn: boolean
  /** The channel ended unasked, or had to for another credential. Another one is opened by `ready`; not after `onLostForGood`. */
  readonly onLost: (why: string) => void
  /** It was never greeted, or was lost CHANNEL_LOSSES_MAX times within CHANNEL_LOSSES_MS. */
  readonly onLostForGood: () => void
  /** A new one is in its place. */
  readonly onReopened: () => void
}

/** Where the messages of one channel go. */
type Receiver = { take: ChannelPorts['onMessage'] }

export class KeptChannel {
  readonly #ports: KeptChannelPorts
  #channel: Channel | undefined
  /** What it was opened with. */
  #credential: Pick<Credential, 'id' | 'version'> | undefined
  #reopening: Promise<void> | undefined
  /** Opened in the place of a lost one, and not yet greeted. */
  #greeting: Channel | undefined
  #isClosing = false
  /** When channels were lost. */
  #losses: number[] = []
  /** As they were decided. */
  #initialize: Pick<Inbound, 'id' | 'text'> | undefined
  #initialized: string | undefined
  #isGreeted = false
  #silence: () => void = () => undefined

  private constructor(ports: KeptChannelPorts) {
    this.#ports = ports
  }

  /** Rejects with GatewayError. */
  static async open(ports: KeptChannelPorts): Promise<KeptChannel> {
    const kept = new KeptChannel(ports)
    const receiver: Receiver = { take: ports.onMessage }
    kept.#keep(await kept.#connect(receiver, ports.credential), receiver)
    return kept
  }

  /** What the session's own client greets the server with is what a new channel is greeted with. */
  noteGreeting({ method, id, text }: Inbound): void {
    if (method === 'initialize') this.#initialize = { id, text }
    if (method === 'notifications/initialized') this.#initialized = text
  }

  /** The server has answered `initialize`. */
  markGreeted(): void {
    this.#isGreeted = true
  }

  isOpen(): boolean {
    return this.#channel !== undefined
  }

  isReopening(): boolean {
    return this.#reopening !== undefined
  }

  /**
   * Opens a new one where it was lost, or is a child that was started with another credential. A version before that of
   * the child replaces nothing: its message was decided earlier. Rejects with GatewayError.
   */
  async ready(credential: Credential | undefined): Promise<void> {
    if (this.#channel !== undefined && !this.#isOther(credential)) return
    if (this.#isClosing) throw OVER
    const underWay = this.#reopening
    this.#reopening ??= this.#reopen(credential).finally(() => {
      this.#reopening = undefined
    })
    await this.#reopening
    // Somebody else's credential may have opened it.
    if (underWay !== undefined) await this.ready(credential)
  }

  /** As `send`; what is sent from now on is sent with this credential. */
  async sendWith(credential: Credential | undefined, text: string): Promise<void> {
    this.#channel?.use(credential)
    await this.send(text)
  }

  /** As `Channel.send`. */
  async send(text: string): Promise<void> {
    if (this.#channel === undefined)
      throw new GatewayError('upstream_unavailable', 'the server ended')
    await this.#channel.send(text)
  }

  /** Resolves when it is gone, and no other one comes. `isUrgent` as of a channel. */
  async close(isUrgent = false): Promise<void> {
    this.#isClosing = true
    await this.#greeting?.close(isUrgent)
    await this.#reopening?.catch(() => undefined) // It closes what it opened.
    await this.#channel?.close(isUrgent)
  }

  #isOther(credential: Credential | undefined): boolean {
    if (!this.#ports.isOwn) return false
    const own = this.#credential
    if (own === undefined || own.id !== credential?.id) return own?.id !== credential?.id
    return credential.version > own.version
  }

  #connect(receiver: Receiver, credential: Credential | undefined): Promise<Channel> {
    this.#credential = credential && { id: credential.id, version: credential.version }
    const onMessage: Receiver['take'] = (message, isMasked) => receiver.take(message, isMasked)
    return this.#ports.open({ onMessage, caller: this.#ports.caller, credential })
  }

  /** Ends a child that has another credential than its session; that is no loss of it. */
  async #retire(): Promise<void> {
    const channel = this.#channel
    if (channel === undefined) return
    this.#channel = undefined
    this.#silence()
    this.#ports.onLost('its credential is another one')
    await channel.close(true)
  }

  #keep(channel: Channel, receiver: Receiver): void {
    this.#channel = channel
    this.#silence = () => {
      receiver.take = () => undefined
    }
    void channel.gone.then((why) => {
      receiver.take = () => undefined
      if (this.#isClosing || this.#channel !== channel) return
      this.#channel = undefined
      this.#ports.onLost(why)
      this.#noteLoss()
    })
  }

  #noteLoss(): void {
    const now = this.#ports.monotonic()
    const recent = this.#losses.filter((at) => now - at < CHANNEL_LOSSES_MS)
    this.#losses = [...recent, now]
    if (!this.#isGreeted || this.#losses.length >= CHANNEL_LOSSES_MAX) this.#ports.onLostForGood()
  }

  /** Order: a new channel is the session's only when it was greeted; until then nothing of it reaches the client. */
  async #reopen(credential: Credential | undefined): Promise<void> {
    await this.#retire()
    const { id, text } = this.#initialize ?? { id: undefined, text: '' }
    const greeted = Promise.withResolvers<JsonObject>()
    const receiver: Receiver = {
      take(message) {
        if (!('method' in message) && message['id'] === id) greeted.resolve(message)
      },
    }
    let channel: Channel | undefined
    try {
      channel = await this.#connect(receiver, credential)
      this.#greeting = channel
      if (this.#isClosing) throw OVER
      const answer = await answerOn(channel, text, greeted.promise, CHANNEL_REOPEN_TIMEOUT_MS)
      if (!isObject(answer['result']))
        throw new GatewayError('upstream_invalid', 'the server refuses to begin the session anew')
      if (this.#initialized !== undefined) await channel.send(this.#initialized)
      if (this.#isClosing) throw OVER
      receiver.take = this.#ports.onMessage
      this.#keep(channel, receiver)
    } catch (error) {
      await channel?.close()
      if (!this.#isClosing) this.#noteLoss()
      throw error
    } finally {
      this.#greeting = undefined
    }
    this.#ports.onReopened()
  }
}

const OVER = new GatewayError('unknown_session', 'the session is over')
