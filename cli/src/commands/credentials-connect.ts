// Owns `cedargate credentials connect`: the link where somebody connects an account, and waiting until they did. Never
// sees what the gateway gets by it.
import type { Command } from 'commander'
import {
  type ConnectLink,
  type CredentialRow,
  connectLink,
} from '../../../schemas/credentials-api.ts'
import { CONNECT_LIFETIME_MS, ROWS_PAGE_MAX } from '../../../schemas/limits.ts'
import type { AdminClient } from '../admin-client.ts'
import { CommandError } from '../errors.ts'
import { requireSafe } from '../gateway.ts'
import type { Format } from '../output.ts'
import { queryOf } from '../query.ts'
import { isRemote, openBrowser } from '../sign-in/browser.ts'
import { waitFor } from '../wait-for.ts'
import { type Context, formatOption } from './context.ts'
import { CREDENTIALS, credentialsOf, printCredential } from './credential-rows.ts'

type ConnectOptions = {
  server: string
  user?: string
  browser: boolean
  wait: boolean
  format: Format
}

const LOOK_EVERY_MS = 1_000

export function addCredentialsConnect(credentials: Command, { config, io, admin }: Context): void {
  credentials
    .command('connect')
    .description('connect an account at the authorization server of a server, with a browser')
    .requiredOption('--server <id>', 'the server that wants it')
    .option('--user <id>', 'whose account; default: of whoever opens the link, or the deployment’s')
    .option('--no-browser', 'print the link, and open nothing')
    .option('--no-wait', 'print the link on stdout, and end')
    .addOption(formatOption())
    .addHelpText('after', CONNECT_HELP)
    .action(async ({ server, user, browser, wait, format }: ConnectOptions) => {
      const client = await admin()
      const query = queryOf({ server, user })
      const link = await client.get(`${CREDENTIALS}/link?${query}`, connectLink)
      const { href } = requireSafe(link.url, 'the link of the gateway')
      if (!wait) return io.out(format === 'json' ? JSON.stringify(link, null, 2) : href)
      const before = await connections(client, link)
      io.err(`connect the account here:\n  ${href}`)
      if (browser && !isRemote(config.env)) openBrowser(href, config.env)
      printCredential(io, format, await connected(client, link, before))
    })
}

/** Throws CommandError where nobody came back from the link in its time. */
async function connected(
  client: AdminClient,
  link: ConnectLink,
  before: readonly CredentialRow[],
): Promise<CredentialRow> {
  const look = async (): Promise<CredentialRow | undefined> =>
    (await connections(client, link)).find((row) =>
      isNew(
        row,
        before.find(({ id }) => id === row.id),
        link,
      ),
    )
  const row = await waitFor(look, LOOK_EVERY_MS, CONNECT_LIFETIME_MS)
  if (row !== undefined) return row
  throw new CommandError(`nobody connected an account within ${CONNECT_LIFETIME_MS / 60_000} minutes`, {
    hint: `the link stays good; \`cedargate credentials ls --server ${link.server}\` shows who has connected`,
  })
} // biome-ignore format: long lines

async function connections(
  client: AdminClient,
  { server, user }: ConnectLink,
): Promise<CredentialRow[]> {
  const owner = user === null ? {} : { user }
  const rows = await credentialsOf(client, { limit: ROWS_PAGE_MAX, server, ...owner })
  return rows.filter(({ kind }) => kind === 'oauth')
}

/** Tokens of others get new versions by themselves; a new version is the link's own doing only for the owner it names. */
function isNew(row: CredentialRow, before: CredentialRow | undefined, link: ConnectLink): boolean {
  if (before === undefined) return true
  if (before.state !== 'ok' && row.state === 'ok') return true
  return row.user === link.user && row.version > before.version
}

const CONNECT_HELP = `
Example:
  cedargate credentials connect --server github --user carol
Whoever opens the link signs in first, and must be the one it names: the link alone gives nothing away.`
