// Owns hearing notifications of PostgreSQL on a connection of its own. No promise rests on one: it may be late, lost or
// forged, and what it says is not passed on.
import { Client, type ClientConfig } from 'pg'

const RETRY_MS_MIN = 250
const RETRY_MS_MAX = 10_000

/** Listens until the returned function has resolved; connects again, ever more slowly, when the connection is lost. */
export function listenOn(
  config: ClientConfig,
  channel: string,
  onNotified: () => void,
): () => Promise<void> {
  let client: Client | undefined
  let retry: NodeJS.Timeout | undefined
  let retryMs = RETRY_MS_MIN
  let stopped = false
  const lose = (lost: Client): void => {
    if (lost !== client || stopped) return
    client = undefined
    void close(lost)
    retry = setTimeout(connect, retryMs)
    retry.unref()
    retryMs = Math.min(retryMs * 2, RETRY_MS_MAX)
  }
  const connect = (): void => {
    const opened = new Client(config)
    client = opened
    opened.on('error', () => lose(opened))
    opened.on('end', () => lose(opened))
    opened.on('notification', onNotified)
    opened
      .connect()
      .then(() => opened.query(`listen ${opened.escapeIdentifier(channel)}`))
      .then(() => {
        retryMs = RETRY_MS_MIN
        onNotified()
      })
      .catch(() => lose(opened))
  }
  connect()
  return async () => {
    stopped = true
    clearTimeout(retry)
    if (client !== undefined) await close(client)
  }
}

/** A connection that is broken already cannot be closed any better. */
function close(client: Client): Promise<void> {
  return client.end().catch(() => {})
}
