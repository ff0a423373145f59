// Owns JSON-RPC over a child's stdin and stdout: one message a line, bounded. Interprets nothing.
import type { ChildProcess } from 'node:child_process'
import type { JsonObject } from '../../../schemas/strict-json.ts'
import { createGathered } from '../gathered.ts'
import { SERVER_MESSAGE_BYTES_MAX } from '../limits.ts'
import type { AnswerMask } from '../mask/answer-mask.ts'
import type { ChannelPorts } from './channel.ts'

export type Lines = {
  /** Writes one message; `text` holds no line end. */
  readonly send: (text: string) => void
}

export type LinesPorts = {
  readonly onMessage: ChannelPorts['onMessage']
  readonly mask: AnswerMask
  /** A line that is no JSON object, as it came; the child goes on. */
  readonly onNoise: (line: string) => void
  /** A line grew beyond SERVER_MESSAGE_BYTES_MAX: nothing after it can be trusted. */
  readonly onOverflow: () => void
}

export function speakLines({ stdin, stdout }: ChildProcess, ports: LinesPorts): Lines {
  const begun = createGathered()
  stdout?.on('data', (chunk: Buffer) => {
    let from = 0
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, from)) {
      begun.add(chunk.subarray(from, end))
      deliver(begun.take().toString('utf8'), ports)
      from = end + 1
    }
    // What is kept is a copy: a part would keep the whole chunk in memory that it is of.
    if (from < chunk.length) begun.add(chunk.subarray(from))
    if (begun.length() <= SERVER_MESSAGE_BYTES_MAX) return
    begun.take()
    ports.onOverflow()
  })
  return { send: (text) => void stdin?.write(`${text}\n`) }
}

function deliver(line: string, { onMessage, onNoise, mask }: LinesPorts): void {
  if (line.trim() === '') return
  const read = readMasked(line, mask)
  if (read === undefined) onNoise(line)
  else onMessage(read.message, read.isMasked)
}

/** The JSON object that `text` is, as `ChannelPorts.onMessage` has it; undefined where it is none. */
export function readMasked(
  text: string,
  mask: AnswerMask,
): { readonly message: JsonObject; readonly isMasked: boolean } | undefined {
  try {
    const masked = mask.message(text)
    const message = readObject(masked)
    return message && { message, isMasked: masked !== text }
  } catch {
    // It cannot be masked: whoever waits for it is told, and nobody sees it.
    const { id, method } = readObject(text) ?? {}
    const message = { jsonrpc: '2.0', ...(id === undefined || method !== undefined ? {} : { id }) }
    return { message, isMasked: true }
  }
}

/** The JSON object that `text` is; undefined where it is none: some servers print to stdout what belongs on stderr. */
function readObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as JsonObject) : undefined
  } catch {
    return undefined // Not JSON.
  }
}
