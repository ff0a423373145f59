// Owns what a vitest project needs once: for `postgres` one throw-away cluster, whose URL the test files get by
// `inject('postgresUrl')`; for `pglite` nothing. Each test file makes its own database in the cluster.
import type { TestProject } from 'vitest/node'
import { startCluster } from './postgres.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** Superuser URL of the run's cluster; null in the project `pglite`. */
    postgresUrl: string | null
  }
}

export default async function setup(project: TestProject): Promise<(() => Promise<void>) | void> {
  if (project.name !== 'postgres') {
    project.provide('postgresUrl', null)
    return
  }
  const cluster = await startCluster()
  project.provide('postgresUrl', cluster.url)
  return cluster.stop
}
