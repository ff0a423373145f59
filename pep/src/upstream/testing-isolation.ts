// Owns whether this machine can show what keeps children apart; never part of a running gateway.
import { spawnSync } from 'node:child_process'

/** Why tests in bubblewrap cannot be run here; undefined where they can. */
export function whyNoBubblewrap(): string | undefined {
  const sandbox = ['--bind', '/', '/', '--dev', '/dev', '--proc', '/proc', '--unshare-pid']
  const { error, status, stderr } = spawnSync('bwrap', [...sandbox, 'true'], { encoding: 'utf8' })
  if (error !== undefined) return 'there is no `bwrap`'
  return status === 0 ? undefined : stderr.trim()
}

/** Why tests as another user cannot be run here; undefined where they can. */
export function whyNoOtherUser(): string | undefined {
  if (process.getuid?.() !== 0) return 'they need root'
  const { error } = spawnSync('setpriv', ['--version'])
  return error === undefined ? undefined : 'there is no `setpriv`'
}
