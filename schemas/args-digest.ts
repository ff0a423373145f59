// Owns what stands in a record for arguments too long to keep. Pure.

/** Lower-case hex SHA-256 of the text, and its length in UTF-16 units. */
export type ArgumentsDigest = { readonly sha256: string; readonly length: number }

/** Never JSON, as arguments are. */
export function digestText({ sha256, length }: ArgumentsDigest): string {
  return `sha256:${sha256};length=${length}`
}

/** Undefined for arguments that are there themselves. */
export function readDigest(text: string): ArgumentsDigest | undefined {
  const [, sha256, length] = /^sha256:([0-9a-f]{64});length=(\d+)$/.exec(text) ?? []
  return sha256 === undefined ? undefined : { sha256, length: Number(length) }
}
