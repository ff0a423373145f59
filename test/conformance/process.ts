// Owns a process of the run that says in its first line what must be known of it. Never outlives whoever started it.
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export type Started = {
  /** The first line it printed. */
  readonly said: string
  /** Asks it to end, and makes it when it does not. */
  readonly stop: () => Promise<void>
}

const STOP_TIMEOUT_MS = 10_000
const root = join(import.meta.dirname, '..', '..')
const node = join(root, 'node_modules', '.bin', 'node')
const preload = join(root, 'test', 'harness', 'end-with-parent.ts')

/** Runs a file of this folder. Its errors go to ours. Rejects when it ends before it said anything. */
export async function startProcess(file: string, ...args: string[]): Promise<Started> {
  const command = ['--import', preload, join(import.meta.dirname, file), ...args]
  const child = spawn(node, command, { stdio: ['pipe', 'pipe', 'inherit'] })
  const said = await firstLine(file, child)
  return { said, stop: () => end(child) }
}

function firstLine(file: string, child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => reject(new Error(`${file} ended with ${code} before it served`)))
    if (child.stdout !== null) createInterface(child.stdout).once('line', resolve)
  })
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
  await ended
  clearTimeout(timer)
}
