// Owns which keys PEPs bind names with now: one a server and epoch, the same from every PDP of a deployment. Pure.
import { BINDING_EPOCH_MS } from '../../../schemas/limits.ts'
import type { BindingKey } from '../../../schemas/pep-api.ts'
import type { Vault } from './vault.ts'

/**
 * Of each server the key of this epoch, of the one before and of the next: a PDP whose clock is ahead binds with that
 * already. `now` in milliseconds since 1970. `id` is the number of the epoch in base 36.
 */
export function bindingKeys(
  { bindingKey }: Pick<Vault, 'bindingKey'>,
  servers: readonly string[],
  now: number,
): BindingKey[] {
  const current = Math.floor(now / BINDING_EPOCH_MS)
  return servers.flatMap((server) =>
    [current, current - 1, current + 1].map((epoch): BindingKey => {
      const key = Buffer.from(bindingKey(server, epoch)).toString('base64url')
      return { server, id: epoch.toString(36), key }
    }),
  )
}
