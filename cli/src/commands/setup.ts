// Owns the commands an operator runs once before `pdp` and `pep`: keys and tables.
import { hash, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Command } from 'commander'
import { formatToken, TOKEN_RANDOM_BYTES } from '../../../schemas/identifiers.ts'
import { CommandError } from '../errors.ts'
import { makePrivateDirectory } from '../make-private.ts'
import type { Format } from '../output.ts'
import { asCommandError } from '../service-errors.ts'
import { type Context, formatOption } from './context.ts'

export function addSetup(program: Command, { config, io }: Context): void {
  program
    .command('keys')
    .description('the deployment key and the data key of a PDP')
    .command('create')
    .description('make both keys in $CEDARGATE_HOME/keys and an operator token; never overwrites')
    .addOption(formatOption())
    .action(async ({ format }: { format: Format }) => {
      const directory = join(config.home, 'keys')
      const { createKeys } = await import('../../../pdp/src/keys/keys.ts')
      await makePrivateDirectory(config.home).catch(unwritable(config.home))
      await createKeys(directory).catch(rethrow)
      const token = formatToken('operator', randomBytes(TOKEN_RANDOM_BYTES), sha256)
      const made = { keys: directory, operatorToken: token, operatorTokenSha256: sha256(token) }
      if (format === 'json') return io.out(JSON.stringify(made, null, 2))
      io.out(`CEDARGATE_TOKEN=${token}`)
      io.out(`CEDARGATE_OPERATOR_TOKEN_SHA256=${made.operatorTokenSha256}`)
      io.err(
        `keys are in ${directory}: back them up; without them nothing recorded can be read or checked`,
      )
      io.err('give the hash to `cedargate pdp`, keep the token for the CLI; it is shown this once')
    })

  program
    .command('db')
    .description('the tables of the gateway')
    .command('migrate')
    .description('bring the tables of DATABASE_URL up to date')
    .action(async () => {
      const url = config.env['DATABASE_URL']
      if (url === undefined) {
        throw new CommandError('DATABASE_URL is not set', {
          hint: 'e.g. postgres://user:password@host/database',
        })
      }
      const { openPostgres } = await import('../../../pdp/src/store/open.ts')
      const store = await openPostgres(url).catch(rethrow)
      try {
        await store.migrate().catch(rethrow)
      } finally {
        await store.close()
      }
      io.err('the tables are up to date')
    })
}

function sha256(text: string): string {
  return hash('sha256', text)
}

function rethrow(error: unknown): never {
  throw asCommandError(error)
}

function unwritable(home: string): (cause: unknown) => never {
  return (cause) => {
    throw new CommandError(`CEDARGATE_HOME ${home} cannot be written`, {
      hint: 'set CEDARGATE_HOME to a directory you own',
      cause,
    })
  }
}
