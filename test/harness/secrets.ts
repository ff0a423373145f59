// Owns searching for a secret in everything that was written, in the forms in which it could have been.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'

/** By name, what a secret may look like: as it is, and in the encodings of which nobody says that they hide anything. */
export function formsOf(secret: string): Map<string, Buffer> {
  const bytes = Buffer.from(secret)
  const hex = bytes.toString('hex')
  const json = JSON.stringify(secret).slice(1, -1)
  const forms: Record<string, string> = {
    raw: secret,
    json,
    'json in json': JSON.stringify(json).slice(1, -1),
    hex,
    HEX: hex.toUpperCase(),
    percent: encodeURIComponent(secret),
    'percent, slashes as they are': encodeURIComponent(secret).replaceAll('%2F', '/'),
    'percent, as in an address': encodeURI(secret),
    HTML: html(secret, '&#39;'),
    'HTML, as Python writes it': html(secret, '&#x27;'),
    'json that is safe in HTML': json.replaceAll(/[&<>']/g, unicode),
    'json with slashes escaped': json.replaceAll('/', '\\/'),
    'percent, all of it': hex.replaceAll(/../g, '%$&'),
    'PERCENT, all of it': hex.toUpperCase().replaceAll(/../g, '%$&'),
    ...Object.fromEntries(
      [0, 1, 2].flatMap((before) => [
        [`base64 behind ${before}`, behind(bytes, before).toString('base64')],
        [`base64url behind ${before}`, behind(bytes, before).toString('base64url')],
      ]),
    ),
  }
  const token = /^[a-z]{3}_(.{43})_/.exec(secret)?.[1]
  const own: [string, Buffer][] = token === undefined ? [] : [['bytes', Buffer.from(token, 'base64url')]] // biome-ignore format: one line
  return new Map([
    ...Object.entries(forms).map(([name, form]): [string, Buffer] => [name, Buffer.from(form)]),
    ...own,
  ])
}

function html(text: string, apostrophe: string): string {
  const amp = text.replaceAll('&', '&amp;').replaceAll('"', '&quot;')
  return amp.replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll("'", apostrophe)
}

function unicode(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** Where `before` bytes modulo three stand in front, those groups of three that hold bytes of the secret alone. */
function behind(bytes: Buffer, before: number): Buffer {
  const rest = bytes.subarray((3 - before) % 3)
  return rest.subarray(0, rest.length - (rest.length % 3))
}

/** The secret, and each half of what is in it: part of a secret is found, too. A token of ours: also its random part alone. */
function piecesOf(secret: string): string[] {
  const token = /^[a-z]{3}_(.{43})_/.exec(secret)?.[1]
  const long = token ?? secret.split(/[^\w-]/).findLast((run) => run.length >= 2 * PIECE_MIN)
  if (long === undefined) return [secret]
  const middle = Math.floor(long.length / 2)
  return [...new Set([secret, long, long.slice(0, middle), long.slice(middle)])]
}

/** Characters below which a piece could be found by chance. */
const PIECE_MIN = 12

export type Places = ReadonlyMap<string, Buffer>

/** The first form of each secret in every place that holds it or a half of it. `secrets` by name. */
export function findSecrets(secrets: Readonly<Record<string, string>>, places: Places): string[] {
  return Object.entries(secrets).flatMap(([name, secret]) => {
    if (secret.length < 16) throw new Error(`the secret ${name} is too short to look for`)
    const forms = piecesOf(secret).flatMap((piece) => [...formsOf(piece)])
    return [...places].flatMap(([where, bytes]) => {
      const found = forms.find(([, form]) => bytes.includes(form))
      return found === undefined ? [] : [`${name} in ${where}: ${found[0]}`]
    })
  })
}

/** Every file below these directories. */
export function filesBelow(...directories: string[]): Map<string, Buffer> {
  const paths = directories.flatMap((directory) =>
    readdirSync(directory, { recursive: true, encoding: 'utf8' }).map((name) =>
      join(directory, name),
    ),
  )
  const files = paths.filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true)
  return new Map(files.map((path) => [path, readFileSync(path)]))
}

/** Every row of every table, as text; bytea is in hexadecimal. */
export async function tablesOf(databaseUrl: string): Promise<Map<string, Buffer>> {
  const client = new Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    const { rows: tables } = await client.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables
       where schemaname not in ('pg_catalog', 'information_schema')`,
    )
    const dumped = new Map<string, Buffer>()
    for (const { name } of tables) {
      const { rows } = await client.query<{ row: string }>(`select t::text as row from ${name} t`)
      dumped.set(name, Buffer.from(rows.map(({ row }) => row).join('\n')))
    }
    return dumped
  } finally {
    await client.end()
  }
}
