// Owns which tests make up which project. `unit` needs no server and no network; `pglite` and `postgres` are one suite
// on two databases. `npm test` (test/main.ts) runs all three, one after the other.
import { defineConfig } from 'vitest/config'

const guards = [
  'test/style.test.ts',
  'test/surface.test.ts',
  'test/conformance/compare.test.ts',
  'test/conformance/recorder.test.ts',
  'test/harness/secrets.test.ts',
]
/** What does not depend on the database runs once, in `pglite`. */
const once = [
  'test/checkout.test.ts',
  'test/pack.test.ts',
  'test/attacks/arguments.test.ts',
  'test/attacks/connect.test.ts',
  'test/attacks/connect-flood.test.ts',
  'test/attacks/connect-mix-up.test.ts',
  'test/attacks/connect-standing.test.ts',
  'test/attacks/hostile-server.test.ts',
  'test/attacks/id-tokens.test.ts',
  'test/attacks/keys-idp.test.ts',
  'test/attacks/keys-private.test.ts',
  'test/attacks/tokens-idp.test.ts',
  'test/e2e/list-changed.test.ts',
  'test/e2e/servers.test.ts',
  'test/e2e/sse.test.ts',
  'test/faults/answers.test.ts',
  'test/pdp/connect.test.ts',
]

/** A loaded machine is late, not wrong: what promises a second measures it. */
const expect = { poll: { timeout: 10_000 } }

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{schemas,pdp,pep,cli}/**/*.test.ts', ...guards],
          expect,
          testTimeout: 20_000,
          maxWorkers: 2,
        },
      },
      ...['pglite', 'postgres'].map((database) => ({
        test: {
          name: database,
          include: ['test/**/*.test.ts'],
          exclude: [...guards, ...(database === 'pglite' ? [] : once)],
          globalSetup: ['test/harness/database.ts'],
          expect,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          // What kills processes under load and holds a second against the clock does it here, alone.
          maxWorkers: database === 'postgres' ? 1 : 2,
        },
      })),
    ],
  },
})
