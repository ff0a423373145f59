// Owns what a browser holds between the steps of connecting an account: one sealed cookie, good for one step alone and for
// CONNECT_LIFETIME_MS altogether. It says what was begun and gives nobody anything. Pure but for the nonce of the seal.
import { EncryptJWT, jwtDecrypt } from 'jose'
import { z } from 'zod'
import type { Clock } from '../../../../schemas/ports.ts'

const pending = z.strictObject({ state: z.string(), nonce: z.string(), verifier: z.string() })
/** `user` is whose account is connected; null: the deployment's. `by`: who signed in, and what the provider said of them. */
const connection = {
  server: z.string(),
  user: z.string().nullable(),
  by: z.strictObject({
    user: z.string(),
    issuer: z.string(),
    subject: z.string(),
    isKeeper: z.boolean(),
  }),
}

const STEPS = {
  /** At the identity provider. `user`: whom the link names. */
  signIn: z.strictObject({ server: z.string(), user: z.string().nullable(), pending }),
  /** Asked whether to go on. */
  consent: z.strictObject({ ...connection, csrf: z.string() }),
  /** At the authorization server. */
  connect: z.strictObject({
    ...connection,
    pending,
    issuer: z.string(),
    clientId: z.string(),
    resource: z.string(),
  }),
}
type Steps = { readonly [Name in keyof typeof STEPS]: z.infer<(typeof STEPS)[Name]> }
export type StepName = keyof Steps

/** `until`: when the whole of it ends, ms since 1970. */
export type Step<Name extends StepName> = Steps[Name] & { readonly until: number }

export type StepSeal = {
  readonly seal: <Name extends StepName>(name: Name, step: Step<Name>) => Promise<string>
  /** Undefined: it is none of ours, of another step, or too late. */
  readonly open: <Name extends StepName>(
    name: Name,
    sealed: string | undefined,
  ) => Promise<Step<Name> | undefined>
}

/** `key`: 32 bytes. */
export function openStepSeal(key: Uint8Array, clock: Pick<Clock, 'now'>): StepSeal {
  return {
    seal: (name, step) =>
      new EncryptJWT({ step })
        .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
        .setAudience(name)
        .encrypt(key),
    async open<Name extends StepName>(name: Name, sealed: string | undefined) {
      if (sealed === undefined) return undefined
      try {
        const { payload } = await jwtDecrypt(sealed, key, {
          audience: name,
          keyManagementAlgorithms: ['dir'],
          contentEncryptionAlgorithms: ['A256GCM'],
        })
        const shape = STEPS[name].extend({ until: z.number() })
        const step = shape.parse(payload['step']) as unknown as Step<Name>
        return clock.now() < step.until ? step : undefined
      } catch {
        // Whatever does not fit: it was not sealed here, for this step.
        return undefined
      }
    },
  }
}
