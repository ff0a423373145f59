// Owns a TCP proxy for tests, to be cut: loudly, so that every connection breaks, or silently, so that nothing comes
// through and nobody is told.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export type CutWire = {
  readonly port: number
  readonly cut: (how: 'loud' | 'silent') => void
  /** What was held back goes through now, and new connections do. */
  readonly mend: () => void
  readonly close: () => Promise<void>
}

export async function openWire(to: {
  readonly host: string
  readonly port: number
}): Promise<CutWire> {
  const pairs = new Set<readonly [Socket, Socket]>()
  let how: 'loud' | 'silent' | undefined
  const server = createServer((near) => {
    if (how === 'loud') return near.destroy()
    const far = connect(to)
    const pair = [near, far] as const
    pairs.add(pair)
    for (const [from, into] of [pair, [far, near] as const]) {
      from.on('error', () => into.destroy())
      from.on('close', () => {
        into.destroy()
        pairs.delete(pair)
      })
      from.pipe(into)
      if (how === 'silent') from.unpipe()
    }
    return undefined
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    cut(by) {
      how = by
      for (const [near, far] of pairs)
        for (const end of [near, far]) {
          if (by === 'loud') end.destroy()
          else end.unpipe()
        }
    },
    mend() {
      how = undefined
      for (const [near, far] of pairs) {
        near.pipe(far)
        far.pipe(near)
      }
    },
    async close() {
      for (const [near] of pairs) near.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
