// Owns showing a server the secret it wants while its tools are read, and that nothing of what is read holds it: locks are
// committed. Never keeps one.
import { injectedBy } from '../../pdp/src/credentials/injected.ts'
import type { Secret } from '../../pdp/src/credentials/secret.ts'
import { textsIn } from '../../pep/src/credential.ts'
import { createMasker } from '../../pep/src/mask/masker.ts'
import type { ServerFile } from '../../schemas/bundle.ts'
import type { ReleasedCredential } from '../../schemas/credentials.ts'
import type { GivenSecret } from '../../schemas/credentials-api.ts'
import { CommandError } from './errors.ts'
import type { LiveTools } from './live-tools.ts'

export type Presented = Pick<ReleasedCredential, 'headers' | 'env' | 'secrets'>

const NOTHING: Presented = { headers: {}, env: {}, secrets: [] }

/** Throws CommandError where this server cannot get it: nobody would notice. */
export function present(server: string, file: ServerFile, given: GivenSecret | undefined): Presented {
  if (given === undefined) return NOTHING
  const presented = injectedBy(secretOf(given)) ?? NOTHING
  const inHeaders = Object.keys(presented.headers).length > 0
  if (inHeaders && file.url === undefined)
    throw new CommandError(`server ${server} is on stdio and gets no headers: use --env <name>`)
  if (!inHeaders && file.command === undefined)
    throw new CommandError(`server ${server} is not started here: use --header <name>, --bearer or --basic`)
  return presented
} // biome-ignore format: long lines

function secretOf(given: GivenSecret): Secret {
  if (given.kind === 'client')
    throw new CommandError('the secret of a client opens no server: give an access token with --bearer')
  if (given.kind === 'bearer' || given.kind === 'basic') return given
  return { kind: given.kind, values: { [given.name]: given.value } }
} // biome-ignore format: long lines

/** The tools as they are. Throws CommandError where one of them holds a secret. */
export function withoutSecrets(live: LiveTools, presented: Presented): LiveTools {
  const texts = [...live.values()].map(({ definition }) => JSON.stringify(definition))
  if (holdsSecret(texts.join('\n'), presented))
    throw new CommandError('its tools hold the secret: they cannot be reviewed in a lock')
  return live
}

/** In any form that the PEP masks. */
export function holdsSecret(text: string, presented: Presented): boolean {
  return createMasker(textsIn(presented)).isIn(text)
}
