// Owns `$CEDARGATE_HOME/login.json`: the login session of whoever signed in on this machine, readable by them alone.
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { CommandError } from './errors.ts'
import { makePrivateDirectory, writePrivate } from './make-private.ts'
import { parseJson } from './parse-json.ts'

const savedLogin = z.strictObject({
  /** The PDP that made the session; its token is sent to no other. */
  url: z.url(),
  token: z.string(),
  user: z.string(),
  expiresAt: z.iso.datetime(),
})
export type SavedLogin = z.infer<typeof savedLogin>

/** Undefined when nobody is signed in. Does NOT judge whether the session is over. Throws CommandError when damaged. */
export async function readLogin(home: string): Promise<SavedLogin | undefined> {
  const path = fileIn(home)
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw new CommandError(`${path} cannot be read: ${error.message}`, { cause: error })
  })
  if (text === undefined) return undefined
  const login = savedLogin.safeParse(parseJson(text))
  if (login.success) return login.data
  throw new CommandError(`${path} is damaged`, { hint: 'delete it and `cedargate login` again' })
}

/** Makes `home` (mode 0700) if it is missing. Throws CommandError when it cannot be written. */
export async function writeLogin(home: string, login: SavedLogin): Promise<void> {
  try {
    await makePrivateDirectory(home)
    await writePrivate(fileIn(home), `${JSON.stringify(login, null, 2)}\n`)
  } catch (cause) {
    throw new CommandError(`CEDARGATE_HOME ${home} cannot be written`, {
      hint: 'set CEDARGATE_HOME to a directory you own',
      cause,
    })
  }
}

/** Without one it does nothing. */
export async function forgetLogin(home: string): Promise<void> {
  await rm(fileIn(home), { force: true })
}

function fileIn(home: string): string {
  return join(home, 'login.json')
}
