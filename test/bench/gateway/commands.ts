// Owns running `cedargate` to an end, or until it serves, for benchmarks. Throws with what it printed when it does neither.
import type { z } from 'zod'
import { type Running, runCommand, sleep } from '../../harness/command.ts'

export type Env = Readonly<Record<string, string>>

const START_TIMEOUT_MS = 45_000

export async function command(words: readonly string[], env: Env): Promise<string> {
  const { code, stdout, stderr } = await runCommand(words, env)
  if (code === 0) return stdout
  throw new Error(`cedargate ${words.join(' ')} ended with ${code}:\n${stdout}${stderr}`)
}

export async function json<T>(
  words: readonly string[],
  env: Env,
  schema: z.ZodType<T>,
): Promise<T> {
  return schema.parse(JSON.parse(await command([...words, '--format', 'json'], env)))
}

export async function waitFor(service: Running, isReady: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS
  while (!(await isReady())) {
    if (service.child.exitCode !== null || performance.now() > deadline)
      throw new Error(`a service did not start:\n${service.stdout()}${service.stderr()}`)
    await sleep(50)
  }
}

export async function answers(url: string): Promise<boolean> {
  return await fetch(url).then(
    (response) => response.ok,
    () => false,
  )
}
