// Owns what a person does while `cedargate login` waits: reads the address it printed and signs in at the provider of
// idp.ts, in no browser.
import { expect } from 'vitest'
import type { Ended } from './command.ts'
import type { Idp } from './idp.ts'
import { type RunningHere, startHere } from './in-process.ts'

type Env = Readonly<Record<string, string>>

/** `cedargate login`, and who signs in meanwhile. */
export async function signIn(idp: Idp, account: string, env: Env, ...words: string[]): Promise<Ended> {
  const login = startHere(['login', '--no-browser', ...words], env)
  await fetch(await idp.login(account, await addressOf(login)))
  return await login.ended
} // biome-ignore format: long

/** The address of the provider that it tells the person to open. Throws with what it said when it says none. */
export async function addressOf(login: RunningHere): Promise<string> {
  const printed = /^ {2}(http\S+)$/m
  await expect.poll(login.stderr, { timeout: 10_000 }).toMatch(printed)
  return printed.exec(login.stderr())?.[1] ?? ''
}
