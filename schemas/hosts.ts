// Owns reading a Host header, against DNS rebinding. Pure.

/** Names of this machine alone. */
export const LOOPBACK_HOSTS: ReadonlySet<string> = new Set(['127.0.0.1', 'localhost', '[::1]'])

/** A Host header in lower case: `name` without a port, `whole` as it was sent. Undefined when it is none (RFC 9110 §7.2). */
export function readHost(header: string | undefined): { name: string; whole: string } | undefined {
  const match = /^([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i.exec(header ?? '')
  const [whole, name] = match ?? []
  if (whole === undefined || name === undefined) return undefined
  return { name: name.toLowerCase(), whole: whole.toLowerCase() }
}
