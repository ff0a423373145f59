// One process per directory: also when several start at once, and when one has died.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { holdLock } from './lock-file.ts'

let home = ''
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cedargate-lock-'))
})
afterEach(() => rm(home, { recursive: true }))
const path = (): string => join(home, 'lock')

test('is held once, and again after its release; nothing else is left behind', async () => {
  const lock = await holdLock(path())
  await expect(holdLock(path())).rejects.toThrow(`process ${process.pid} is using it`)
  await lock.release()
  await (await holdLock(path())).release()
  expect(await readdir(home)).toEqual([])
})

test('of two that start together exactly one gets it', async () => {
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => holdLock(path())))
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  expect(await readdir(home)).toEqual(['lock'])
})

test('a lock whose process is gone is taken over, by one of those who find it', async () => {
  const child = spawn(process.execPath, ['-e', ''])
  await once(child, 'exit')
  await writeFile(path(), `${child.pid} 12345\n`)
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => holdLock(path())))
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  expect(await readFile(path(), 'utf8')).toMatch(new RegExp(`^${process.pid} `))
})

test.each([
  { name: 'of a process number used again', text: `${process.pid} 1\n` },
  { name: 'cut short by a crash', text: '' },
  { name: 'with other text', text: 'x\n' },
])('a lock $name is taken over', async ({ text }) => {
  await writeFile(path(), text)
  await (await holdLock(path())).release()
  expect(await readdir(home)).toEqual([])
})

test('a lock of a process that runs is respected', async () => {
  const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'])
  try {
    const stat = await readFile(`/proc/${child.pid}/stat`, 'utf8').catch(() => '')
    const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
    await writeFile(path(), `${child.pid} ${start}\n`)
    await expect(holdLock(path())).rejects.toThrow(`process ${child.pid} is using it`)
  } finally {
    child.kill()
  }
})
