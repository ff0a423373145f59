// Owns `cedargate ledger`: checking the record against itself.
import type { Command } from 'commander'
import { fsckLine } from '../../../schemas/admin-api.ts'
import { EXIT } from '../../../schemas/codes.ts'
import { CommandError } from '../errors.ts'
import { type Format, printable } from '../output.ts'
import { type Context, formatOption } from './context.ts'

export function addLedger(program: Command, { io, admin }: Context): void {
  program
    .command('ledger')
    .description('the record of every decision')
    .command('fsck')
    .description(
      'check every leaf, signature, column, sequence and sealed value; exit 6 on a finding',
    )
    .addOption(formatOption())
    .action(async ({ format }: { format: Format }) => {
      let found: { checked: number; findings: number } | undefined
      for await (const said of (await admin()).lines('/admin/v1/ledger/fsck', fsckLine)) {
        if (format === 'json') io.out(JSON.stringify(said))
        if (said.kind === 'summary') found = said
        else if (format === 'text') {
          if (said.kind === 'progress' && said.checked < said.total)
            io.err(`checked ${said.checked} of ${said.total} leaves`)
          else if (said.kind === 'finding')
            io.out(printable(`${said.check}  ${said.id}  ${said.message}`))
        }
      }
      if (found === undefined)
        throw new CommandError('the check did not finish', { exit: EXIT.usage })
      if (found.findings > 0) {
        throw new CommandError(`${found.findings} findings in ${found.checked} leaves`, {
          exit: EXIT.unverified,
        })
      }
      io.err(`${found.checked} leaves checked, nothing found`)
    })
}
