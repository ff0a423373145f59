// Owns `cedargate peps`: the enforcement points that may ask this PDP, and for which servers.
import type { Command } from 'commander'
import { z } from 'zod'
import { createdPep, type PepRow, pepRow } from '../../../schemas/admin-api.ts'
import { type Format, printRows } from '../output.ts'
import { type Context, collect, formatOption } from './context.ts'

export function addPeps(program: Command, { io, admin }: Context): void {
  const peps = program.command('peps').description('enforcement points and their keys')

  peps
    .command('enroll')
    .description('enroll an enforcement point and show its key, once')
    .requiredOption('--server <id>', 'a server it stands in front of; repeat for more', collect)
    .addOption(formatOption())
    .addHelpText(
      'after',
      '\nThe key goes into CEDARGATE_PEP_KEY of `cedargate pep`; it also opens /access/v1 (AuthZEN).',
    )
    .action(async ({ server, format }: { server: string[]; format: Format }) => {
      const created = await (await admin()).post('/admin/v1/peps', { servers: server }, createdPep)
      if (format === 'json') return io.out(JSON.stringify(created, null, 2))
      io.out(created.key)
      io.err(`pep ${created.id} for ${created.servers.join(', ')}; the key is shown this once`)
    })

  peps
    .command('ls')
    .description('list enforcement points')
    .addOption(formatOption())
    .action(async ({ format }: { format: Format }) => {
      const answer = await (await admin()).get(
        '/admin/v1/peps',
        z.object({ peps: z.array(pepRow) }),
      )
      printRows(io, format, answer.peps, COLUMNS, 'no peps yet; see `cedargate peps enroll --help`')
    })

  peps
    .command('revoke')
    .description('revoke the key of an enforcement point')
    .argument('<id>', 'id of the pep, see `cedargate peps ls`')
    .action(async (id: string) => {
      await (await admin()).delete(`/admin/v1/peps/${encodeURIComponent(id)}`)
      io.err(`pep ${id} is revoked`)
    })
}

const COLUMNS = [
  { title: 'ID', of: (row: PepRow) => row.id },
  { title: 'SERVERS', of: (row: PepRow) => row.servers.join(',') },
  { title: 'ENROLLED', of: (row: PepRow) => row.createdAt },
  { title: 'REVOKED', of: (row: PepRow) => row.revokedAt ?? '' },
]
