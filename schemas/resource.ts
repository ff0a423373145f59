// Owns whether an OAuth resource (RFC 8707) is that of a server: of the origin of its url, and at or above its path. Pure.

/** False where either is no URL of a host. */
export function covers(resource: string, url: string): boolean {
  const [whole, part] = [URL.parse(resource), URL.parse(url)]
  if (whole === null || part === null || part.origin === 'null') return false
  return whole.origin === part.origin && folder(part).startsWith(folder(whole))
}

function folder({ pathname }: URL): string {
  return pathname.endsWith('/') ? pathname : `${pathname}/`
}
