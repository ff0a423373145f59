// Owns a channel to a child of the PEP: one message a line, over its stdin and stdout. What it says on stderr is for the
// log. Interprets nothing.
import type { ChildProcess } from 'node:child_process'
import type { Upstream } from '../../../schemas/pep-api.ts'
import type { Credential } from '../credential.ts'
import { GatewayError } from '../gateway-error.ts'
import { CHILD_UNREAD_BYTES_MAX, STDERR_TAIL_LENGTH_MAX } from '../limits.ts'
import { answerMask } from '../mask/answer-mask.ts'
import { createTextMask } from '../mask/text-mask.ts'
import type { Log } from '../ports.ts'
import type { Channel, ChannelKind, ChannelPorts } from './channel.ts'
import { exitOf, type Surroundings, startServer, stopChild } from './child.ts'
import { speakLines } from './lines.ts'

export type ChildChannelPorts = { readonly surroundings: Surroundings; readonly log: Log }

export function childChannels(upstream: Upstream, ports: ChildChannelPorts): ChannelKind {
  return {
    isOwn: true,
    open: async (channel) =>
      overChild(upstream.id, await start(upstream, ports, channel.credential), ports.log, channel),
    stop: () => Promise.resolve(),
  }
}

async function start(
  upstream: Upstream,
  { surroundings }: ChildChannelPorts,
  credential: Credential | undefined,
): Promise<ChildProcess> {
  try {
    return await startServer(upstream, surroundings, { credential })
  } catch (cause) {
    const message = `the server ${upstream.id} cannot be started`
    throw new GatewayError('upstream_unavailable', message, { cause })
  }
}

function overChild(
  server: string,
  child: ChildProcess,
  log: Log,
  { onMessage, credential }: ChannelPorts,
): Channel {
  let isAsked = false
  const masked = (onOutput: (text: string) => void) => maskOutput(credential, onOutput)
  const tail = keepTail(child, masked, (output) => log.debug({ server, output }, 'output'))
  const onNoise = masked((line) =>
    log.debug({ server, line: line.trimEnd().slice(0, 1_024) }, 'not a message'),
  )
  const { send } = speakLines(child, {
    onMessage,
    mask: answerMask(
      () => (credential === undefined ? [] : [credential.masker()]),
      () => undefined,
    ),
    onNoise: (line) => onNoise(`${line}\n`),
    onOverflow: () => {
      log.warn({ server }, 'a message of the server is too long; ending it')
      void stopChild(child)
    },
  })
  const gone = exitOf(child).then(() => {
    const { exitCode, signalCode } = child
    const why = signalCode === null ? `it ended with code ${exitCode}` : `it ended by ${signalCode}`
    if (!isAsked) log.warn({ server, stderr: tail() }, `the server was not told to end: ${why}`)
    return why
  })
  return {
    gone,
    use: () => undefined,
    async send(text) {
      if ((child.stdin?.writableLength ?? 0) > CHILD_UNREAD_BYTES_MAX)
        throw new GatewayError('upstream_unavailable', 'the server does not read what it is sent')
      send(text)
    },
    async close(isUrgent) {
      isAsked = true
      await stopChild(child, isUrgent)
    },
  }
}

type Output = (text: string) => void

/** What stderr said last. */
function keepTail(
  { stderr }: ChildProcess,
  masked: (onOutput: Output) => Output,
  onOutput: Output,
): () => string {
  let kept = ''
  const keep = masked((text) => {
    kept = (kept + text).slice(-STDERR_TAIL_LENGTH_MAX)
    onOutput(text.trimEnd())
  })
  stderr?.setEncoding('utf8').on('data', keep)
  return () => kept.trimEnd()
}

/** What comes in pieces, without the credential; what may be the begin of it waits for more. */
function maskOutput(credential: Credential | undefined, onOutput: Output): Output {
  if (credential === undefined) return onOutput
  const mask = createTextMask(credential.masker())
  return (text) => {
    const masked = mask(text)
    if (masked !== '') onOutput(masked)
  }
}
