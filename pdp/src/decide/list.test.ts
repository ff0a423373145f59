// What a list that was left open means: nothing is told of it. Real lists are in test/pdp/list.test.ts.
import { expect, test } from 'vitest'
import type { VerdictCode } from '../../../schemas/codes.ts'
import type { Visible } from '../../../schemas/pep-api.ts'
import { NO_CEILINGS } from '../../../schemas/scopes.ts'
import { denied } from '../authorize/denial.ts'
import type { AuthorizationRequest } from '../authorize/types.ts'
import type { Grant } from '../identity/grant.ts'
import type { Active } from './decide.ts'
import { createList } from './list.ts'

const GRANT: Grant = { id: 'g', user: 'ada', agent: 'demo', teams: [], servers: ['files'], scopes: NO_CEILINGS, expiresAt: 2, client: null } // biome-ignore format: a grant
const SHOWN: Visible = { tools: ['read'], resources: false, prompts: false }

function listing(codes: Readonly<Record<string, VerdictCode>>) {
  const bundle = { servers: new Map([['files', {}]]) }
  const authorize = async (requests: readonly AuthorizationRequest[]) =>
    requests.map(({ method }) => {
      const code = codes[method] ?? 'permit'
      const answer = denied({ code, detail: '' })
      const visible = method === 'tools/list' ? SHOWN : { ...SHOWN, tools: [], prompts: true }
      return code === 'permit' ? { ...answer, decision: 'allow' as const, visible } : answer
    })
  const list = createList({
    active: () => ({ bundle, authorizer: { authorize } }) as unknown as Active,
    resolveById: async () => new Map([['g', GRANT]]),
    clock: { now: () => 1, monotonic: () => 1 },
  })
  return list({ id: 'p', servers: ['files'] }, [{ grant: 'g', server: 'files' }])
}

test.each<{ codes: Readonly<Record<string, VerdictCode>>; want: (Visible | null)[] }>([
  { codes: {}, want: [{ ...SHOWN, prompts: true }] },
  { codes: { 'prompts/list': 'forbid', 'resources/list': 'no_permit' }, want: [SHOWN] },
  { codes: { 'tools/list': 'forbid' }, want: [{ ...SHOWN, tools: [], prompts: true }] },
  { codes: { 'tools/list': 'forbid', 'resources/list': 'forbid', 'prompts/list': 'stale_bundle' }, want: [null] },
])('$codes shows $want', async ({ codes, want }) => {
  expect(await listing(codes)).toEqual(want)
}) // biome-ignore format: a table

test.each(['tools/list', 'resources/list', 'prompts/list'])('without an answer to %s there is none', async (method) => {
  await expect(listing({ [method]: 'engine_fault' })).rejects.toThrow('left open: engine_fault')
  await expect(listing({ [method]: 'clock_fault' })).rejects.toThrow('left open: clock_fault')
}) // biome-ignore format: a title
