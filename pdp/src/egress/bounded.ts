// Owns reading what somebody's word led us to: an answer whole, at most so many bytes of it, and no redirect. Never dials.
import type { Fetch } from './dialer.ts'

/** Why an answer was not taken; the message holds nothing of it. */
export class AnswerError extends Error {
  override readonly name = 'AnswerError'
}

/**
 * A fetch that answers what was read to its end. Rejects with AnswerError for a redirect and for more than `bytesMax`;
 * `signal` ends every request besides its own.
 */
export function boundedFetch(reach: Fetch, bytesMax: number, signal?: AbortSignal): Fetch {
  return async function bounded(url, init) {
    const signals = [init.signal, signal].filter((one) => one instanceof AbortSignal)
    const answer = await reach(url, {
      ...init,
      redirect: 'manual',
      signal: AbortSignal.any(signals),
    })
    const { status, statusText } = answer
    if (answer.type === 'opaqueredirect' || (status >= 300 && status < 400)) {
      await answer.body?.cancel()
      throw new AnswerError(`it answers with a redirect (${status}), which is not followed`)
    }
    const body = await readAnswer(answer, bytesMax)
    const headers = new Headers(answer.headers)
    return new Response(body.length === 0 ? null : body, { status, statusText, headers })
  }
}

/** The body. Rejects with AnswerError at the first byte more than `bytesMax`. */
export async function readAnswer(
  { body }: Response,
  bytesMax: number,
): Promise<Buffer<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body ?? []) {
    bytes += chunk.byteLength
    if (bytes > bytesMax) throw new AnswerError(`it answers more than ${bytesMax} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
