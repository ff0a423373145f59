// Owns the commands that start something and run until told to stop: `dev`, `pdp`, `pep`.
// Services are loaded when they are started, so that the other commands answer at once.
import type { Command } from 'commander'
import { EXIT } from '../../../schemas/codes.ts'
import { stderrLines } from '../log.ts'
import { binDirectory } from '../package-root.ts'
import { asCommandError } from '../service-errors.ts'
import type { Context } from './context.ts'

type Service = { readonly stop: () => Promise<void> }

export function addServices(program: Command, { config, io }: Context): void {
  program
    .command('dev')
    .description('run the whole gateway in one process, on an embedded database or DATABASE_URL')
    .option('--bundle <dir>', 'policy bundle (CEDARGATE_BUNDLE); default: the example in policies/')
    .addHelpText('after', DEV_HELP)
    .action(async ({ bundle }: { bundle?: string }) => {
      const env = bundle === undefined ? config.env : { ...config.env, CEDARGATE_BUNDLE: bundle }
      await runService(async () => {
        const { readDevConfig } = await import('../dev/config.ts')
        const settings = readDevConfig(config.home, env)
        const { startDev } = await import('../dev/start.ts')
        return startDev(settings, io)
      })
    })

  program
    .command('pdp')
    .description('run the policy decision point on PostgreSQL')
    .addHelpText('after', PDP_HELP)
    .action(async () => {
      await runService(async () => {
        const { readPdpConfig } = await import('../../../pdp/src/config.ts')
        const settings = readPdpConfig({ ...config.env, CEDARGATE_HOME: config.home })
        const { startPdp } = await import('../../../pdp/src/main.ts')
        return startPdp(settings, { logTo: stderrLines })
      })
    })

  program
    .command('pep')
    .description('run an enforcement point in front of MCP servers')
    .option(
      '--pdp <url|socket>',
      'where the PDP is (CEDARGATE_PDP): a URL or the path of a Unix socket',
    )
    .addHelpText('after', PEP_HELP)
    .action(async ({ pdp }: { pdp?: string }) => {
      const env = pdp === undefined ? config.env : { ...config.env, CEDARGATE_PDP: pdp }
      await runService(async () => {
        const { readPepConfig } = await import('../../../pep/src/config.ts')
        const settings = readPepConfig(env)
        const { startPep } = await import('../../../pep/src/main.ts')
        return startPep(settings, { binDirectory, logTo: stderrLines })
      })
    })
}

/** Starts, runs until told to stop, and stops in order. */
async function runService(start: () => Promise<Service>): Promise<void> {
  const signals = new AbortController()
  const told = untilTold(signals.signal)
  const service = await start().catch((error: unknown) => {
    signals.abort()
    throw asCommandError(error)
  })
  await told
  await service.stop()
}

/** Ctrl-C reaches a process under npm twice, from the terminal and from npm: repeats within this time are one. */
const REPEAT_MS = 1_000

/**
 * Resolves at the first SIGINT, SIGTERM or SIGHUP. A later one means it: the process ends at once. Listens until
 * `stopped` aborts.
 */
function untilTold(stopped: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    let toldAt: number | undefined
    const onSignal = (): void => {
      const now = performance.now()
      if (toldAt !== undefined && now - toldAt > REPEAT_MS) process.exit(EXIT.internal)
      toldAt ??= now
      resolve()
    }
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, onSignal)
      stopped.addEventListener('abort', () => process.off(signal, onSignal))
    }
  })
}

const DEV_HELP = `
Settings (environment):
  CEDARGATE_HOME       state, keys and tokens, mode 0700 (default .cedargate)
  CEDARGATE_PEP_PORT   port of the gateway that clients use (default 8787; 0 takes a free one)
  CEDARGATE_PDP_PORT   port of the decision point (default 8181)
  DATABASE_URL         PostgreSQL instead of the embedded database
  CEDARGATE_BUNDLE     directory of the policy bundle
  CEDARGATE_LOGIN_FILE where operators sign in, and people who connect an account: \`cedargate pdp --help\` shows the file
  CEDARGATE_CREDENTIAL_KEYS
                       keys of 32 bytes in base64 in the place of keys/credentials.key; the first encrypts
  CEDARGATE_ISOLATION  what keeps the servers it starts from keys and tokens: auto (bubblewrap where it works; default),
                       bubblewrap (or no start), user:<name> (as root), off
While it serves, $CEDARGATE_HOME/dev.json holds its URLs and tokens.`

const PDP_HELP = `
Settings (environment): DATABASE_URL, CEDARGATE_BUNDLE, CEDARGATE_HOME (its keys/), CEDARGATE_LOGIN_FILE (where
operators sign in), CEDARGATE_CREDENTIAL_KEYS (in the place of keys/credentials.key: keys of 32 bytes in base64, the first
encrypts). CEDARGATE_BUNDLE is a directory, or git+https://…, git+ssh://… or git+file:///…;
then CEDARGATE_BUNDLE_REF (default main), CEDARGATE_BUNDLE_FOLDER, CEDARGATE_BUNDLE_POLL_SECONDS (default 30),
CEDARGATE_BUNDLE_WEBHOOK_SECRET (for POST /hooks/bundle), CEDARGATE_BUNDLE_SIGNERS_FILE. And optionally CEDARGATE_PDP_HOST, CEDARGATE_PDP_PORT, CEDARGATE_PDP_SOCKET,
CEDARGATE_PDP_PUBLIC_URL, CEDARGATE_ENGINE_WORKERS, CEDARGATE_LOG_LEVEL.
First: cedargate keys create; cedargate db migrate. At its first start it prints a token that makes you admin: \`cedargate login --help\`.

The login file is YAML beside the PDP, and never in the bundle: whoever may push policies would be an admin.
  issuer: https://login.example.com     exactly as its tokens say it
  clientId: cedargate-cli               a public client: PKCE, loopback redirects, no secret
  userClaim: email                      default sub
  rolesClaim: groups                    claim of the ID token (the default)
  roles: {admin: [platform-admins], auditor: [security], viewer: [staff]}`

const PEP_HELP = `
Settings (environment): CEDARGATE_PEP_KEY or CEDARGATE_PEP_KEY_FILE (from cedargate peps enroll),
DATABASE_URL (a role that may SET ROLE cedargate_pep: it only inserts), and optionally CEDARGATE_PEP_HOST,
CEDARGATE_PEP_PORT, CEDARGATE_ALLOWED_HOSTS, CEDARGATE_ALLOWED_ORIGINS, CEDARGATE_TRUSTED_PROXIES (addresses or CIDR
ranges whose X-Forwarded-For is believed; behind a proxy it is the source of everybody without it), CEDARGATE_LOG_LEVEL, CEDARGATE_ISOLATION:
auto (servers it starts run in bubblewrap where that works; default), bubblewrap (or no start), user:<name> (as root), off.
With hundreds of open streams, NODE_OPTIONS=--max-semi-space-size=16 saves a fifth of the memory.`
