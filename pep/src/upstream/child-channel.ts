// Owns a channel to a child of the PEP: one message a line, over its stdin and stdout. What it says on stderr is for the
// log. Interprets nothing.
import type { ChildProcess } from 'node:child_process'
import type { Upstream } from '../../../schemas/pep-api.ts'
import { GatewayError } from '../gateway-error.ts'
import { CHILD_UNREAD_BYTES_MAX, STDERR_TAIL_LENGTH_MAX } from '../limits.ts'
import type { Log } from '../ports.ts'
import type { Channel, ChannelKind, ChannelPorts } from './channel.ts'
import { exitOf, type Surroundings, startServer, stopChild } from './child.ts'
import { speakLines } from './lines.ts'

export type ChildChannelPorts = { readonly surroundings: Surroundings; readonly log: Log }

export function childChannels(upstream: Upstream, ports: ChildChannelPorts): ChannelKind {
  return {
    isOwn: true,
    open: async (channel) =>
      overChild(upstream.id, await start(upstream, ports), ports.log, channel),
    stop: () => Promise.resolve(),
  }
}

async function start(
  upstream: Upstream,
  { surroundings }: ChildChannelPorts,
): Promise<ChildProcess> {
  try {
    return await startServer(upstream, surroundings)
  } catch (cause) {
    const message = `the server ${upstream.id} cannot be started`
    throw new GatewayError('upstream_unavailable', message, { cause })
  }
}

function overChild(
  server: string,
  child: ChildProcess,
  log: Log,
  { onMessage }: ChannelPorts,
): Channel {
  let isAsked = false
  const tail = keepTail(child, (output) => log.debug({ server, output }, 'output'))
  const { send } = speakLines(child, {
    onMessage,
    onNoise: (line) => log.debug({ server, line: line.slice(0, 1_024) }, 'not a message'),
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

/** What stderr said last. */
function keepTail({ stderr }: ChildProcess, onOutput: (text: string) => void): () => string {
  let kept = ''
  stderr?.setEncoding('utf8').on('data', (text: string) => {
    kept = (kept + text).slice(-STDERR_TAIL_LENGTH_MAX)
    onOutput(text.trimEnd())
  })
  return () => kept.trimEnd()
}
