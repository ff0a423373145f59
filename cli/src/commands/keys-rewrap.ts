// Owns having the gateway encrypt anew what an older key encrypts, and showing how far it is. Changes no key.
import { EXIT } from '../../../schemas/codes.ts'
import { type RewrapLine, rewrapLine } from '../../../schemas/credentials-api.ts'
import type { AdminClient } from '../admin-client.ts'
import { CommandError } from '../errors.ts'
import type { Format, Terminal } from '../output.ts'

export type Rewrapping = {
  readonly io: Terminal
  readonly format: Format
  readonly client: AdminClient
}

/** Between two lines of progress, where they cannot be written over each other. */
const LINE_EVERY_MS = 1_000

/** The last line of the gateway. Throws CommandError where it did not finish, and (exit 3) where something was left as it was. */
export async function rewrap({ io, format, client }: Rewrapping): Promise<RewrapLine> {
  const show = format === 'json' ? asJson(io) : asProgress(io)
  let last: RewrapLine | undefined
  try {
    for await (const line of client.postForLines('/admin/v1/credential-keys/rewrap', rewrapLine)) {
      last = line
      show(line)
    }
  } finally {
    if (format === 'text' && last !== undefined) io.update?.('')
  }
  if (last?.finished !== true) throw new CommandError('encrypting anew did not finish')
  if (last.failed.length === 0) return last
  throw new CommandError(`${last.failed.length} credentials stay as they were: ${last.failed.join(', ')}`, {
    exit: EXIT.invalid,
    hint: 'their key is missing, or they are damaged: `cedargate keys ls`, `cedargate credentials test <id>`; set them anew; drop no key before',
  })
} // biome-ignore format: long lines

function asJson(io: Terminal): (line: RewrapLine) => void {
  return (line) => io.out(JSON.stringify(line))
}

function asProgress({ err, update }: Terminal): (line: RewrapLine) => void {
  let shownAt = Number.NEGATIVE_INFINITY
  return ({ done, total, finished }) => {
    const text = `encrypted anew: ${done} of ${total}`
    if (update !== undefined) return update(text)
    if (finished || performance.now() - shownAt < LINE_EVERY_MS) return
    shownAt = performance.now()
    err(text)
  }
}
