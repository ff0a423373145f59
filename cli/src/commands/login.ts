// Owns `cedargate login`, `logout` and `whoami`: who an operator is, and until when.
import { createInterface } from 'node:readline'
import type { Command } from 'commander'
import {
  type CreatedSession,
  createdSession,
  loginInfo,
  whoami,
} from '../../../schemas/admin-api.ts'
import { SIGN_IN_WAIT_MS } from '../../../schemas/limits.ts'
import { type AdminClient, adminClient, NotKnown } from '../admin-client.ts'
import { CommandError } from '../errors.ts'
import { signInUrl } from '../gateway.ts'
import { type Format, printFields } from '../output.ts'
import { forgetLogin, readLogin, writeLogin } from '../saved-login.ts'
import { isRemote, openBrowser } from '../sign-in/browser.ts'
import { listenForCallback } from '../sign-in/loopback.ts'
import { type Context, formatOption } from './context.ts'

type LoginOptions = {
  url?: string
  device?: boolean
  browser: boolean
  bootstrap?: string
  user?: string
  format: Format
}

export function addLogin(program: Command, context: Context): void {
  const { config, io, admin } = context
  program
    .command('login')
    .description('sign in to a gateway with the account of your company')
    .option('--url <url>', 'its decision point (CEDARGATE_URL); default: the one of last time')
    .option('--device', 'sign in by a code on another device; so it is over SSH when nobody says')
    .option('--no-device', 'sign in with a browser that can reach this machine, over SSH too')
    .option('--no-browser', 'print the address, and open nothing')
    .option('--bootstrap <token>', 'become the first admin; `-` reads the token from stdin')
    .option('--user <id>', 'with --bootstrap: who the first admin is')
    .addOption(formatOption())
    .addHelpText('after', LOGIN_HELP)
    .action(async (options: LoginOptions) => {
      const url = await signInUrl(config, options.url)
      const client = adminClient({ url })
      const { token, ...session } = await newSession(context, client, options)
      const { user, roles, expiresAt } = session
      await writeLogin(config.home, { url, token, user, expiresAt })
      if (options.format === 'json') io.out(JSON.stringify({ url, ...session }, null, 2))
      io.err(`signed in to ${url} as ${user} (${roles.join(', ')}), until ${expiresAt}`)
      if (options.bootstrap !== undefined) io.err(nextStep(user))
      if (config.token !== undefined)
        io.err('CEDARGATE_TOKEN is set and goes before it: unset it to act as yourself')
    })

  program
    .command('logout')
    .description('end the login session, here and at the gateway')
    .action(async () => {
      const login = await readLogin(config.home)
      if (login === undefined) return io.err('nobody is signed in')
      const client = adminClient({ ...login, from: 'login' })
      const failure = await client.delete('/admin/v1/sessions/current').catch(asError)
      await forgetLogin(config.home)
      if (failure !== undefined && !(failure instanceof NotKnown)) {
        throw new CommandError(`forgotten here, but not ended at the gateway: ${failure.message}`, {
          hint: `it ends by itself at ${login.expiresAt}`,
          cause: failure,
        })
      }
      io.err(`signed out of ${login.url}`)
    })

  program
    .command('whoami')
    .description('show who you are to the gateway, and your roles')
    .addOption(formatOption())
    .action(async ({ format }: { format: Format }) => {
      printFields(io, format, await (await admin()).get('/admin/v1/whoami', whoami))
    })
}

async function newSession(
  { config, io }: Context,
  client: AdminClient,
  { bootstrap, user, device, browser }: LoginOptions,
): Promise<CreatedSession> {
  if ((bootstrap === undefined) !== (user === undefined))
    throw new CommandError('--bootstrap and --user belong together')
  if (bootstrap !== undefined) {
    const token = bootstrap === '-' ? await firstLine() : bootstrap
    return client.post('/admin/v1/bootstrap', { token, user }, createdSession)
  }
  const login = await client.get('/admin/v1/login', loginInfo)
  const remote = device === undefined && isRemote(config.env)
  // Loaded when it is needed, so that the other commands answer at once.
  const { fetchIdToken } = await import('../sign-in/id-token.ts')
  const idToken = await fetchIdToken({
    login,
    device: device === true ? 'option' : remote ? 'remote' : undefined,
    listen: (state) => listenForCallback(state, SIGN_IN_WAIT_MS),
    say: io.err,
    open: (page) => (browser ? openBrowser(page, config.env) : undefined),
  })
  return client.post('/admin/v1/sessions', { idToken }, createdSession)
}

/** The first admin is nobody at the identity provider yet. */
function nextStep(user: string): string {
  return `next, before this session ends: \`cedargate login\` is refused as long as nobody knows that ${user} is you, and says the
command that tells it: cedargate users add ${user} --issuer … --subject …`
}

function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(String(cause))
}

async function firstLine(): Promise<string> {
  for await (const line of createInterface({ input: process.stdin })) return line.trim()
  throw new CommandError('no token came on stdin')
}

const LOGIN_HELP = `
Example:
  cedargate login --url https://pdp.example.com
The first admin, with the token that \`cedargate pdp\` printed when it had none (on stdin, so that it is in no history):
  cedargate login --url https://pdp.example.com --bootstrap - --user carol
Then link yourself, so that you come in without a token: sign in again, and give the command that the refusal says.
The session is kept in $CEDARGATE_HOME/login.json (mode 0600) and used by every other command, until it ends or \`cedargate logout\`.`
