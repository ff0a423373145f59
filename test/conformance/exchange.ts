// Owns what one HTTP exchange is, as a recorder between two parties saw it.

/** Lower-case names; of a name that came twice, both values, comma-separated. */
export type Headers = Readonly<Record<string, string>>

export type Exchange = {
  /** The scenario that ran when it began. */
  readonly scenario: string
  readonly request: {
    readonly method: string
    readonly path: string
    readonly headers: Headers
    readonly body: string
  }
  /** Undefined: the client went away before there was an answer. */
  readonly response:
    | {
        readonly status: number
        readonly headers: Headers
        readonly body: string
        /** Whether the server said all, or the client left before that, or the server broke off. */
        readonly ended: 'whole' | 'left' | 'broken'
      }
    | undefined
}

/** The raw text of each event of an event stream, comments too. The last is dropped where it is not whole. */
export function eventsOf(body: string): string[] {
  const parts = body.split(/\r\n\r\n|\n\n|\r\r/)
  return parts.slice(0, -1)
}

export function isEventStream(headers: Headers): boolean {
  return headers['content-type']?.startsWith('text/event-stream') === true
}

/** The JSON text in the `data:` lines of an event; undefined where it has none. */
export function dataOf(event: string): string | undefined {
  const lines = event.split(/\r\n|\n|\r/).filter((line) => line.startsWith('data:'))
  const data = lines.map((line) => line.slice(5).replace(/^ /, '')).join('\n')
  return data === '' ? undefined : data
}
