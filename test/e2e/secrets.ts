// Owns searching for a secret in everything that was written, in the forms in which it could have been.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'

/** Bytes to look for: the text, its random part alone, and both in the usual encodings. */
function formsOf(secret: string): Map<string, Buffer> {
  const random = /^[a-z]{3}_(.{43})_/.exec(secret)?.[1]
  const raw = random === undefined ? [] : [Buffer.from(random, 'base64url')]
  const texts = [secret, ...(random === undefined ? [] : [random])].map((text) => Buffer.from(text))
  const encoded = [...texts, ...raw].flatMap((bytes) => [
    ['hex', Buffer.from(bytes.toString('hex'))] as const,
    ['base64', Buffer.from(bytes.toString('base64').replace(/=+$/, ''))] as const,
    ['base64url', Buffer.from(bytes.toString('base64url'))] as const,
  ])
  return new Map<string, Buffer>([
    ...texts.map((bytes, index) => [`text ${index}`, bytes] as const),
    ...raw.map((bytes) => ['bytes', bytes] as const),
    ...encoded.map(([form, bytes], index) => [`${form} ${index}`, bytes] as const),
  ])
}

export type Places = ReadonlyMap<string, Buffer>

/** `where: form` of every place that holds a secret in some form. `secrets` by name. */
export function findSecrets(secrets: Readonly<Record<string, string>>, places: Places): string[] {
  return Object.entries(secrets).flatMap(([name, secret]) => {
    if (secret.length < 16) throw new Error(`the secret ${name} is too short to look for`)
    const forms = [...formsOf(secret)]
    return [...places].flatMap(([where, bytes]) =>
      forms
        .filter(([, form]) => bytes.includes(form))
        .map(([form]) => `${name} in ${where}: ${form}`),
    )
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
