// Owns PGlite, in a thread of its own: its statements are WebAssembly that runs to the end, and beside it nobody could
// decide meanwhile. The entry file of the thread, never imported.
import { parentPort, workerData } from 'node:worker_threads'
import { PGlite, types } from '@electric-sql/pglite'
import type { Row } from '../../../schemas/database/sql.ts'
import { applyMigrations } from './migrate.ts'
import type {
  PgliteAnswer,
  PgliteFailure,
  PgliteQuestion,
  PgliteStart,
  PgliteTask,
} from './pglite.ts'
import { StoreError } from './store-error.ts'

const { directory } = workerData as PgliteStart
const opened = PGlite.create({ dataDir: directory, parsers: { [types.INT8]: Number } })

void reply(
  0,
  opened.then(() => []),
)
parentPort?.on('message', ({ id, task }: PgliteQuestion) => void reply(id, perform(task)))

async function reply(id: number, work: Promise<Row[]>): Promise<void> {
  const answer: PgliteAnswer = await work.then(
    (rows) => ({ id, rows }),
    (error: unknown) => ({ id, error: failureOf(error) }),
  )
  parentPort?.postMessage(answer, [])
}

async function perform(task: PgliteTask): Promise<Row[]> {
  const client = await opened
  switch (task.kind) {
    case 'query':
      return task.role === undefined
        ? (await client.query<Row>(task.text, [...task.params])).rows
        : queryAs(client, task.role, task)
    case 'migrate':
      return migrate(client, task.directory)
    default:
      await client.close()
      return []
  }
}

/** The role holds for one transaction, so a statement of another role can never run in between. */
async function queryAs(
  client: PGlite,
  role: string,
  { text, params }: { readonly text: string; readonly params: readonly unknown[] },
): Promise<Row[]> {
  return client.transaction(async (transaction) => {
    await transaction.exec(`set local role "${role.replaceAll('"', '""')}"`)
    return (await transaction.query<Row>(text, [...params])).rows
  })
}

/** PGlite belongs to this process, whose statements wait for the transaction to end. */
async function migrate(client: PGlite, migrations: string): Promise<Row[]> {
  await client.transaction((transaction) =>
    applyMigrations(
      migrations,
      (text) => transaction.exec(text),
      async (text) => (await transaction.query<{ hash: string }>(text)).rows,
    ),
  )
  return []
}

function failureOf(error: unknown): PgliteFailure {
  const code = (error as { code?: unknown } | null)?.code
  return {
    message: error instanceof Error ? error.message : String(error),
    code: typeof code === 'string' ? code : undefined,
    isStoreError: error instanceof StoreError,
  }
}
