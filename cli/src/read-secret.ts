// Owns taking a secret from whoever types: from stdin or a file, never from argv, where every process of the machine and
// the shell's history would have it. Never prints it, and never names it in an error.
import { type FileHandle, open } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { CREDENTIAL_SECRET_LENGTH_MAX } from '../../schemas/limits.ts'
import { CommandError } from './errors.ts'
import type { Terminal } from './output.ts'

export type SecretSource = { readonly stdin?: true; readonly file?: string }

/** Of UTF-8 text of CREDENTIAL_SECRET_LENGTH_MAX characters and a newline. */
const SECRET_BYTES_MAX = 4 * CREDENTIAL_SECRET_LENGTH_MAX + 2

/** The secret without the newline at its end. A terminal is asked for one line, which it does not show. */
export async function readSecret({ file }: SecretSource, io: Terminal): Promise<string> {
  if (file !== undefined) return fromFile(file, io)
  if (process.stdin.isTTY) return asked()
  const bytes = await bytesOf(process.stdin)
  if (bytes.length === 0) throw new CommandError('nothing came on stdin')
  return secretOf(bytes)
}

async function fromFile(path: string, io: Terminal): Promise<string> {
  const unreadable = (cause: unknown): never => {
    const why = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable'
    throw new CommandError(`--file ${path} cannot be read: ${why}`, { cause })
  }
  const file = await open(path).catch(unreadable)
  try {
    await warnOfOthers(path, file, io)
    const bytes = await bytesOf(file.createReadStream({ autoClose: false }))
    return secretOf(bytes)
  } catch (error) {
    return error instanceof CommandError ? raise(error) : unreadable(error)
  } finally {
    await file.close()
  }
}

async function warnOfOthers(path: string, file: FileHandle, io: Terminal): Promise<void> {
  const found = await file.stat()
  if (!found.isFile() || (found.mode & 0o044) === 0) return
  const mode = (found.mode & 0o777).toString(8).padStart(4, '0')
  io.err(`warning: ${path} has mode ${mode}, others can read it; run \`chmod 600 ${path}\``)
}

function raise(error: Error): never {
  throw error
}

async function bytesOf(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk as Buffer)
    length += bytes.length
    if (length > SECRET_BYTES_MAX)
      throw new CommandError(
        `the secret must have at most ${CREDENTIAL_SECRET_LENGTH_MAX} characters`,
      )
    chunks.push(bytes)
  }
  return Buffer.concat(chunks)
}

function secretOf(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r?\n$/, '')
  } catch {
    throw new CommandError('the secret is not UTF-8 text')
  }
}

/** The terminal is in raw mode before the prompt is there, so that nothing of what is typed then is shown. */
function asked(): Promise<string> {
  const output = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output, terminal: true, historySize: 0 })
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  lines.once('line', resolve)
  lines.once('SIGINT', () => reject(new CommandError('stopped: nothing was sent')))
  lines.once('close', () => reject(new CommandError('no secret was typed')))
  process.stderr.write('secret (not shown): ')
  return promise.finally(() => {
    lines.close()
    process.stderr.write('\n')
  })
}
