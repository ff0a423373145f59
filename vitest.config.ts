import { defineConfig } from 'vitest/config'

// `unit` needs no server and no network; `pglite` and `postgres` are one suite on two databases.
const suite = ['test/**/*.test.ts']
const guards = ['test/style.test.ts', 'test/surface.test.ts']

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{schemas,pdp,pep,cli}/**/*.test.ts', ...guards],
          testTimeout: 20_000,
        },
      },
      ...['pglite', 'postgres'].map((database) => ({
        test: {
          name: database,
          include: suite,
          exclude: guards,
          env: { CEDARGATE_TEST_DATABASE: database },
          globalSetup: ['test/harness/database.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      })),
    ],
  },
})
