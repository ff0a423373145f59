// Which program opens a page, where; never through a shell.
import { expect, test } from 'vitest'
import { browserCommand, isRemote } from './browser.ts'

const URL = 'https://login.example.com/auth?a=b&c=$(d)'

test.each<{ platform: NodeJS.Platform; env: Record<string, string>; command: unknown }>([
  { platform: 'linux', env: { DISPLAY: ':0' }, command: ['xdg-open', URL] },
  { platform: 'linux', env: { WAYLAND_DISPLAY: 'wayland-0' }, command: ['xdg-open', URL] },
  { platform: 'linux', env: {}, command: undefined },
  { platform: 'darwin', env: {}, command: ['open', URL] },
  { platform: 'win32', env: {}, command: ['rundll32', 'url.dll,FileProtocolHandler', URL] },
])('$platform $env', ({ platform, env, command }) => {
  expect(browserCommand(URL, platform, env)).toEqual(command)
})

test('over SSH a browser would open on another machine', () => {
  expect(isRemote({ SSH_CONNECTION: '10.0.0.1 50000 10.0.0.2 22' })).toBe(true)
  expect(isRemote({})).toBe(false)
})
