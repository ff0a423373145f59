// Owns the login file of `cedargate pdp`: where operators sign in, and which of their groups gives which role. It lies beside
// the PDP and never in a bundle: whoever may push policies would be an admin.
import { z } from 'zod'
import { httpsOrLoopback } from '../../../schemas/bundle.ts'
import { OPERATOR_ROLES, type OperatorRole } from '../../../schemas/roles.ts'
import { findingLine } from '../bundle/findings.ts'
import { readYaml } from '../bundle/yaml.ts'

const claim = z.string().regex(/^[\w.:/-]{1,128}$/)
const groups = z.array(z.string().min(1).max(256)).max(64)

const loginFile = z.strictObject({
  issuer: httpsOrLoopback.describe('exactly as `iss` says it'),
  clientId: z
    .string()
    .min(1)
    .max(256)
    .describe('the public client of the CLI there: PKCE, loopback redirects, no secret'),
  web: z
    .strictObject({
      clientId: z.string().min(1).max(256),
      clientSecretFile: z
        .string()
        .min(1)
        .optional()
        .describe('file that holds its secret alone; default: a public client'),
    })
    .optional()
    .describe(
      'the client for people in a browser who connect accounts, with the redirect URI <public URL>/oauth/signed-in; default: `clientId`',
    ),
  scope: z
    .string()
    .max(512)
    .default('openid profile email')
    .refine((scope) => scope.split(' ').includes('openid'), { error: 'must hold `openid`' }),
  jwksUri: httpsOrLoopback.optional().describe('default: as its discovery document says'),
  private: z
    .boolean()
    .default(false)
    .describe('whether the names of `issuer` and `jwksUri` may lead to private addresses'),
  userClaim: claim
    .default('sub')
    .describe('claim that is the user id here; `email` counts with `email_verified` alone'),
  rolesClaim: claim.default('groups').describe('claim of the ID token that holds groups'),
  roles: z
    .partialRecord(z.enum(OPERATOR_ROLES), groups)
    .default({})
    .describe('role → the groups whose members have it'),
})
export type LoginFile = z.infer<typeof loginFile>

/** Throws an Error whose message has a line for each mistake, with its place. `file` is its name. */
export function readLoginFile(file: string, text: string): LoginFile {
  const read = readYaml({ file, text }, loginFile)
  if (read.ok) return read.value
  throw new Error(read.findings.map(findingLine).join('; '))
}

/** The roles that claims give by their groups. A claim that is neither a text nor a list of texts gives none. */
export function rolesOfClaims(
  { roles, rolesClaim }: LoginFile,
  claims: Readonly<Record<string, unknown>>,
): OperatorRole[] {
  const held = Object.hasOwn(claims, rolesClaim) ? [claims[rolesClaim]].flat() : []
  return OPERATOR_ROLES.filter((role) => roles[role]?.some((group) => held.includes(group)))
}
