// Owns files that hold a secret: read only where nobody but their owner can, made only where there is none.
import { open, readFile, stat } from 'node:fs/promises'

/**
 * A key that is missing, malformed, readable by others, or in the way of a new one; the message
 * names the file.
 */
export class KeysError extends Error {
  override readonly name = 'KeysError'
}

/** A file of its owner alone. Throws KeysError, with the cause where it is not there. */
export async function readSecret(path: string): Promise<string> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new KeysError(`cannot read ${path}; make keys with \`cedargate keys create\``, { cause })
  })
  if ((found.mode & 0o077) !== 0) {
    const mode = (found.mode & 0o777).toString(8).padStart(4, '0')
    throw new KeysError(`${path} has mode ${mode}, others can read it; run \`chmod 600 ${path}\``)
  }
  return readFile(path, 'utf8')
}

/** Makes the file, mode 0600, on the disk when it resolves. Throws KeysError when it is there already. */
export async function writeNew(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600).catch((cause: unknown) => {
    const exists = (cause as { code?: unknown } | null)?.code === 'EEXIST'
    throw exists ? new KeysError(`${path} exists; keys are never overwritten`, { cause }) : cause
  })
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}
