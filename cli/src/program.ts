// Owns the `cedargate` command line: its commands, its help, and what a failure prints and exits with.
import { Command, CommanderError } from 'commander'
import { EXIT, type ExitCode } from '../../schemas/codes.ts'
import { connectAdmin } from './admin-client.ts'
import { addActs } from './commands/acts.ts'
import { addAgents } from './commands/agents.ts'
import { addBundles } from './commands/bundles.ts'
import type { Context } from './commands/context.ts'
import { addCredentials } from './commands/credentials.ts'
import { addDecisions } from './commands/decisions.ts'
import { addGrants } from './commands/grants.ts'
import { addKeys } from './commands/keys.ts'
import { addLedger } from './commands/ledger.ts'
import { addLogin } from './commands/login.ts'
import { addPeps } from './commands/peps.ts'
import { addPolicy } from './commands/policy.ts'
import { addServices } from './commands/services.ts'
import { addSetup } from './commands/setup.ts'
import { addTools } from './commands/tools.ts'
import { addUsers } from './commands/users.ts'
import type { CliConfig } from './config.ts'
import { CommandError } from './errors.ts'
import { type Terminal, withPrintableErrors } from './output.ts'

/** Runs one command line (without `node` and the script) and answers the exit code of DESIGN §7. */
export async function runProgram(
  words: readonly string[],
  config: CliConfig,
  terminal: Terminal,
  version: string,
): Promise<ExitCode> {
  const io = withPrintableErrors(terminal)
  const program = createProgram({ config, io, admin: () => connectAdmin(config) }, version)
  try {
    await program.parseAsync(words, { from: 'user' })
    return EXIT.ok
  } catch (error) {
    return report(error, io)
  }
}

function createProgram(context: Context, version: string): Command {
  const program = new Command('cedargate')
    .description(
      'MCP gateway: every tool call is decided by Cedar policy before it runs, and recorded',
    )
    .version(version)
    .showHelpAfterError('(add --help for what it takes)')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.io.out(text.trimEnd()),
      writeErr: (text) => context.io.err(text.trimEnd()),
    })
    .addHelpText('after', HELP)
  addServices(program, context)
  addLogin(program, context)
  addGrants(program, context)
  addUsers(program, context)
  addAgents(program, context)
  addActs(program, context)
  addPeps(program, context)
  addBundles(program, context)
  addCredentials(program, context)
  addDecisions(program, context)
  addLedger(program, context)
  addTools(program, context)
  addPolicy(program, context)
  addKeys(program, context)
  addSetup(program, context)
  return program
}

function report(error: unknown, io: Terminal): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  if (error instanceof CommandError) {
    io.err(`cedargate: ${error.message}`)
    if (error.hint !== undefined) io.err(`hint: ${error.hint}`)
    return error.exit
  }
  io.err(error instanceof Error ? (error.stack ?? error.message) : String(error))
  return EXIT.internal
}

const HELP = `
Commands that list, show or change take --format json. They talk to the gateway of CEDARGATE_URL with CEDARGATE_TOKEN,
else to the one of \`cedargate login\`, else to the one \`cedargate dev\` runs (facts in $CEDARGATE_HOME/dev.json, default .cedargate/).
Exit codes: 0 ok, 1 internal, 2 usage or could not check, 3 invalid, 4 tests failed, 5 drift, 6 verification failed.`
