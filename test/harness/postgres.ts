// Owns throw-away PostgreSQL clusters: the real server on a free loopback port, its data in a temporary directory, gone
// with whoever started it, killed or not. Never as root, never on a machine's own cluster.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { Client } from 'pg'
import { freePort } from '../../pep/src/upstream/free-port.ts'

export type Cluster = {
  /** Superuser URL of the database `postgres`. */
  readonly url: string
  readonly version: string
  readonly stop: () => Promise<void>
}
export type ClusterOptions = {
  /** Directory with initdb and postgres; default: findPostgres(). */
  readonly binaries?: string
  /** Whether commits reach the disk. Default false: tests kill processes, never the machine. */
  readonly durable?: boolean
}

const START_TIMEOUT_MS = 30_000
const DEBIAN_VERSIONS = '/usr/lib/postgresql'

/** The directory with initdb and postgres: from PATH, else the newest Debian has; undefined when there is none. */
export function findPostgres(path = process.env['PATH'] ?? ''): string | undefined {
  const versions = existsSync(DEBIAN_VERSIONS) ? readdirSync(DEBIAN_VERSIONS) : []
  const newestFirst = versions
    .map(Number)
    .filter(Number.isFinite)
    .toSorted((a, b) => b - a)
  const candidates = [
    ...path.split(delimiter),
    ...newestFirst.map((version) => join(DEBIAN_VERSIONS, String(version), 'bin')),
  ]
  return candidates.find((directory) =>
    ['initdb', 'postgres'].every((program) => existsSync(join(directory, program))),
  )
}

/** Starts a cluster and waits until it answers. Throws with what the server said when it does not. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const binaries = options.binaries ?? findPostgres()
  if (binaries === undefined) throw new Error('no PostgreSQL: `apt-get install postgresql`')
  const owner = serverUser()
  const directory = await mkdtemp(join(tmpdir(), 'cedargate-postgres-'))
  const password = randomBytes(16).toString('hex')
  const passwordFile = join(directory, 'password')
  await writeFile(passwordFile, password, { mode: 0o600 })
  for (const path of [directory, passwordFile]) await chown(path, owner.uid, owner.gid)
  const port = await freePort()
  const server = spawnServer({ ...options, binaries, directory, port, owner })
  const url = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`
  const stop = async (): Promise<void> => {
    server.end()
    await server.ended
    await rm(directory, { recursive: true, force: true })
  }
  try {
    return { url, version: await waitUntilReady(url, server), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

type Launch = ClusterOptions & {
  readonly binaries: string
  readonly directory: string
  readonly port: number
  readonly owner: { readonly uid: number; readonly gid: number }
}
type Server = {
  readonly end: () => void
  readonly ended: Promise<unknown>
  readonly hasEnded: () => boolean
  readonly output: () => string
}

/**
 * The shell in between outlives us by a moment: when its stdin closes, because we asked or because we were killed, it
 * stops the server and removes the data. It ignores signals to the group, so that only we decide.
 */
const SUPERVISOR = `
trap '' INT TERM HUP PIPE
"$BINARIES/initdb" -D "$DIRECTORY/data" -U postgres --pwfile="$DIRECTORY/password" -A scram-sha-256 -E UTF8 --locale=C --no-sync || exit 1
exec 3<&0
"$BINARIES/postgres" -D "$DIRECTORY/data" "$@" &
server=$!
( cat <&3 >/dev/null; kill -INT $server 2>/dev/null ) &
watcher=$!
wait $server
kill -KILL $watcher 2>/dev/null
rm -rf "$DIRECTORY"
`

function spawnServer(launch: Launch): Server {
  const { owner, port } = launch
  const settings = ['listen_addresses=127.0.0.1', `port=${port}`, 'unix_socket_directories=']
  settings.push('max_connections=200', 'shared_buffers=256MB')
  if (launch.durable !== true) settings.push('fsync=off', 'full_page_writes=off')
  const child = spawn(
    'sh',
    ['-c', SUPERVISOR, 'postgres', ...settings.flatMap((setting) => ['-c', setting])],
    {
      cwd: '/',
      stdio: ['pipe', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        BINARIES: launch.binaries,
        DIRECTORY: launch.directory,
      },
      ...(process.getuid?.() === 0 ? owner : {}),
    },
  )
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output = `${output}${chunk.toString()}`.slice(-8_000)
    })
  const ended = new Promise((resolve) => child.once('close', resolve))
  return {
    end: () => child.stdin.end(),
    ended,
    hasEnded: () => child.exitCode !== null,
    output: () => output,
  }
}

/** Who the server runs as: ourselves, or where we are root the user of Debian's package, else `nobody`. */
function serverUser(): { uid: number; gid: number } {
  const uid = process.getuid?.() ?? 0
  if (uid !== 0) return { uid, gid: process.getgid?.() ?? 0 }
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  const user = ['postgres', 'nobody'].flatMap((name) => users.filter(([own]) => own === name))[0]
  if (user === undefined) throw new Error('PostgreSQL refuses to run as root: run as another user')
  return { uid: Number(user[2]), gid: Number(user[3]) }
}

async function waitUntilReady(url: string, server: Server): Promise<string> {
  const deadline = performance.now() + START_TIMEOUT_MS
  for (;;) {
    const client = new Client({ connectionString: url })
    try {
      await client.connect()
      const { rows } = await client.query<{ server_version: string }>('show server_version')
      return rows[0]?.server_version ?? ''
    } catch (error) {
      if (server.hasEnded() || performance.now() > deadline)
        throw new Error(`PostgreSQL did not start:\n${server.output()}`, { cause: error })
      await new Promise((resolve) => setTimeout(resolve, 100))
    } finally {
      await client.end().catch(() => undefined)
    }
  }
}
