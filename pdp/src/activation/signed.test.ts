// Who must have signed: three lists, and each has a say.
import { expect, test } from 'vitest'
import type { Snapshot } from '../source/source.ts'
import type { Trust } from './activation.ts'
import { unsignedProblem } from './signed.ts'

/** A commit that these have signed; a directory is no commit. */
function snapshot(by: readonly string[], commit: string | null = 'c'.repeat(40)): Snapshot {
  return {
    revision: 'r',
    commit,
    open: () => Promise.reject(new Error('not opened here')),
    signatureProblem: async (signers) =>
      signers.some((signer) => by.includes(signer)) ? undefined : 'not signed',
  }
}

type Row = {
  readonly name: string
  readonly by: readonly string[]
  readonly setting?: readonly string[]
  readonly before?: readonly string[]
  readonly own?: readonly string[]
  readonly want: boolean
}
test.each<Row>([
  { name: 'nobody asks for a signature', by: [], want: true },
  { name: 'the bundle asks, nobody signed', by: [], own: ['ada'], want: false },
  { name: 'the bundle asks, one of them signed', by: ['bob'], own: ['ada', 'bob'], want: true },
  { name: 'the bundle before asks, and the new one strikes it out', by: [], before: ['ada'], want: false },
  { name: 'a new key that only the new bundle names', by: ['eve'], before: ['ada'], own: ['eve'], want: false },
  { name: 'a key that both name', by: ['ada'], before: ['ada'], own: ['ada', 'eve'], want: true },
  { name: 'the operator asks, the bundle does not', by: ['eve'], setting: ['ada'], want: false },
  { name: 'the operator is content, the bundle is not', by: ['ada'], setting: ['ada'], own: ['bob'], want: false },
])('$name: $want', async ({ by, setting = [], before = [], own = [], want }) => {
  const trust: Trust = { signers: setting, unsignedDirectory: 'refuse' }
  const said = { trust, before: { requireSignedBy: before } }
  const problem = await unsignedProblem(snapshot(by), { requireSignedBy: own } as never, said)
  expect(problem === undefined).toBe(want)
}) // biome-ignore format: a table

test('a directory passes where the operator says so, and nowhere else', async () => {
  const bundle = { requireSignedBy: ['ada'] } as never
  const ask = (unsignedDirectory: Trust['unsignedDirectory']) =>
    unsignedProblem(snapshot([], null), bundle, {
      trust: { signers: [], unsignedDirectory },
      before: undefined,
    })
  expect(await ask('accept')).toBeUndefined()
  expect((await ask('refuse'))?.message).toBe('gateway.yaml:1:1: not signed')
})
