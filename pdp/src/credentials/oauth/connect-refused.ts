// Owns why an account is not connected, in words for the person who wanted to. Never quotes a token or a code.

export class ConnectRefused extends Error {
  override readonly name = 'ConnectRefused'
  readonly status: 400 | 403 | 404 | 409 | 502 | 503
  /** Somebody tried what nobody does by mistake often: it counts as a failure of their source. */
  readonly isFailure: boolean

  constructor(status: ConnectRefused['status'], message: string, isFailure = false) {
    super(message)
    this.status = status
    this.isFailure = isFailure
  }
}

export function tooOld(): ConnectRefused {
  const why =
    'this page was not asked for in this browser, or too long ago, or twice; open the link anew'
  return new ConnectRefused(400, why, true)
}

export function ofAnotherServer(): ConnectRefused {
  const why =
    'this answer came to the address of another server than the one that was to be connected, so its code was not used; open the link anew'
  return new ConnectRefused(400, why, true)
}

export function notFromOurPage(): ConnectRefused {
  return new ConnectRefused(403, 'this was not sent from the page of the gateway', true)
}
