// What the log says of credentials at the start.
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { credentialsOf, newKek, sharedKek } from '../../test/harness/credentials.ts'
import { onEachDatabase } from '../../test/harness/each-database.ts'
import { warnOfLocked } from './brokerage.ts'

onEachDatabase((database) => {
  const declared = { files: { kind: 'bearer' } }
  const open = credentialsOf(declared, () => database().store)

  test('a key that is not there is named, with how much it encrypts', async () => {
    const here = await open()
    const secret = { kind: 'bearer', value: 'a-token-of-it' } as const
    await here.administration.setCredential({ server: 'files', user: null, secret })
    const said = async (of: typeof here) => {
      const lines: unknown[] = []
      await warnOfLocked(of, pino({}, { write: (line) => void lines.push(JSON.parse(line)) }))
      return lines
    }
    expect(await said(here)).toEqual([])
    const warning = { level: 40, key: sharedKek.id, credentials: 1 }
    expect(await said(await open({ keks: [newKek()] }))).toEqual([expect.objectContaining(warning)])
  })
})
