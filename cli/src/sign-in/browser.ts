// Owns opening a page in the browser of whoever types, where there is one. Never needed: the address is printed too.
import { spawn } from 'node:child_process'

type Env = Readonly<Record<string, string | undefined>>

/** The command that opens `url`, without a shell; undefined where there is no screen to show it on. */
export function browserCommand(
  url: string,
  platform: NodeJS.Platform,
  env: Env,
): readonly [string, ...string[]] | undefined {
  if (platform === 'darwin') return ['open', url]
  if (platform === 'win32') return ['rundll32', 'url.dll,FileProtocolHandler', url]
  const screen = env['DISPLAY'] ?? env['WAYLAND_DISPLAY']
  return screen === undefined ? undefined : ['xdg-open', url]
}

/** Tries, and says nothing when it does not work. */
export function openBrowser(url: string, env: Env): void {
  const [command, ...words] = browserCommand(url, process.platform, env) ?? []
  if (command === undefined) return
  spawn(command, words, { detached: true, stdio: 'ignore' })
    .on('error', () => {
      // No such program: the printed address is what is left.
    })
    .unref()
}

/** Whether a browser opened from here would show on another machine, or nowhere. */
export function isRemote(env: Env): boolean {
  return env['SSH_CONNECTION'] !== undefined
}
