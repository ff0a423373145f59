// Owns the commands that need no running gateway: tables, and the token of the first admin.
import { randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import type { Store } from '../../../pdp/src/store/open.ts'
import type { CliConfig } from '../config.ts'
import { CommandError } from '../errors.ts'
import type { Format } from '../output.ts'
import { rethrow } from '../service-errors.ts'
import { type Context, formatOption } from './context.ts'

export function addSetup(program: Command, { config, io }: Context): void {
  const db = program.command('db').description('the tables of the gateway')
  db.command('migrate')
    .description('bring the tables of DATABASE_URL up to date')
    .action(async () => {
      await withDatabase(config, (store) => store.migrate())
      io.err('the tables are up to date')
    })
  db.command('bootstrap')
    .description(
      'make a token for one more admin, in place of the one that `cedargate pdp` printed',
    )
    .addOption(formatOption())
    .addHelpText('after', BOOTSTRAP_HELP)
    .action(async ({ format }: { format: Format }) => {
      const { bootstrapNotice, openBootstrap } = await import(
        '../../../pdp/src/identity/bootstrap.ts'
      )
      const { systemClock } = await import('../../../pdp/src/main.ts')
      const made = await withDatabase(config, async ({ sql, checkMigrated }) => {
        await checkMigrated()
        return openBootstrap({ sql, clock: systemClock, random: randomBytes }).renew()
      })
      if (format === 'json') return io.out(JSON.stringify(made, null, 2))
      io.out(bootstrapNotice(made, config.url ?? '<url of the PDP>'))
    })
}

/** Opens DATABASE_URL for one piece of work. */
async function withDatabase<Result>(
  { env }: CliConfig,
  work: (store: Store) => Promise<Result>,
): Promise<Result> {
  const url = env['DATABASE_URL']
  if (url === undefined) {
    throw new CommandError('DATABASE_URL is not set', {
      hint: 'e.g. postgres://user:password@host/database',
    })
  }
  const { openPostgres } = await import('../../../pdp/src/store/open.ts')
  const store = await openPostgres(url).catch(rethrow)
  try {
    return await work(store).catch(rethrow)
  } finally {
    await store.close()
  }
}

const BOOTSTRAP_HELP = `
For whoever may write the database (DATABASE_URL), when that token is lost or every admin is locked out. It is good once,
and ends the one of before. Use it: cedargate login --bootstrap - --user <id>`
