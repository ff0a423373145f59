// Owns reading the bytes of a POST: right types, no encoding, never more than BODY_BYTES_MAX. Reads
// no JSON.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { BODY_BYTES_MAX } from '../../../schemas/limits.ts'
import { GatewayError } from '../gateway-error.ts'
import { createGathered } from '../gathered.ts'

/** Throws wrong_content_type or not_acceptable. */
export function checkMediaTypes(headers: IncomingHttpHeaders): void {
  const type = headers['content-type'] ?? ''
  if (!/^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?$/i.test(type)) {
    throw new GatewayError('wrong_content_type', `the content type is ${type || 'missing'}`)
  }
  const encoding = headers['content-encoding'] ?? 'identity'
  if (encoding.toLowerCase() !== 'identity') {
    throw new GatewayError('wrong_content_type', `the content encoding is ${encoding}`)
  }
  checkAccept(headers, ['application/json', 'text/event-stream'])
}

/** Throws not_acceptable unless every one of `types` is listed by name. */
export function checkAccept(headers: IncomingHttpHeaders, types: readonly string[]): void {
  const accept = headers.accept ?? ''
  const listed = accept.toLowerCase().split(',').map(mediaType)
  if (types.every((type) => listed.includes(type))) return
  throw new GatewayError('not_acceptable', `the Accept header is ${accept || 'missing'}`)
}

function mediaType(item: string): string {
  const end = item.indexOf(';')
  return (end < 0 ? item : item.slice(0, end)).trim()
}

/**
 * The whole body. Throws body_too_large at the first byte too many and reads no further, chunked bodies too, and what
 * `onBytes` throws of the bytes that have arrived.
 */
export function readBody(
  incoming: IncomingMessage,
  onBytes: (count: number) => void,
): Promise<Buffer> {
  if (Number(incoming.headers['content-length'] ?? 0) > BODY_BYTES_MAX)
    return Promise.reject(tooLarge())
  // It may have gone while it was asked whose it is, and would not say so again.
  if (incoming.destroyed) return Promise.reject(gone())
  const gathered = createGathered()
  return new Promise((resolve, reject) => {
    const stop = (error: Error) => {
      incoming.off('data', take).pause()
      reject(error)
    }
    const take = (chunk: Buffer) => {
      try {
        onBytes(chunk.length)
        gathered.add(chunk)
        if (gathered.length() > BODY_BYTES_MAX) throw tooLarge()
      } catch (error) {
        stop(error as Error)
      }
    }
    incoming.on('data', take)
    incoming.once('end', () => resolve(gathered.take()))
    incoming.once('error', () => stop(gone()))
    incoming.once('close', () => stop(gone()))
  })
}

function tooLarge(): GatewayError {
  return new GatewayError('body_too_large', `the body is longer than ${BODY_BYTES_MAX} bytes`)
}

function gone(): GatewayError {
  return new GatewayError('malformed_json', 'the client went away in the middle of its message')
}
