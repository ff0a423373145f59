// Owns reading what names a host: a Host header, against DNS rebinding, and a URL that a secret or a key travels over. Pure.

/** Names of this machine alone. */
export const LOOPBACK_HOSTS: ReadonlySet<string> = new Set(['127.0.0.1', 'localhost', '[::1]'])

/** A Host header in lower case: `name` without a port, `whole` as it was sent. Undefined when it is none (RFC 9110 §7.2). */
export function readHost(header: string | undefined): { name: string; whole: string } | undefined {
  const match = /^([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i.exec(header ?? '')
  const [whole, name] = match ?? []
  if (whole === undefined || name === undefined) return undefined
  return { name: name.toLowerCase(), whole: whole.toLowerCase() }
}

/** Whether the host of a URL is this machine by what stands in it; of no URL it is not. */
export function isLoopbackUrl(url: string): boolean {
  return LOOPBACK_HOSTS.has(URL.parse(url)?.hostname ?? '')
}

/** Whether nobody on the way can read or change what comes from there: https, or http on this machine. */
export function isHttpsOrLoopback(url: string): boolean {
  const read = URL.parse(url)
  if (read === null || read.username !== '' || read.password !== '') return false
  return (
    read.protocol === 'https:' || (read.protocol === 'http:' && LOOPBACK_HOSTS.has(read.hostname))
  )
}
