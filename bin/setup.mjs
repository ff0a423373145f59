#!/usr/bin/env node
// Owns the set-up of a checkout: `node_modules` complete for the present lockfile, or a clear word on why not.
// Runs before anything is installed, so: plain JavaScript, any Node ≥ 20, nothing but npm and git on the machine.
// Never writes outside node_modules and its own lock file; where pnpm keeps its store is pnpm's business, but not here.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(root, 'node_modules')
const stampFile = join(modules, '.cedargate-setup')
const lockFile = join(root, '.setup.lock')
const commandLink = join(modules, '.bin', 'cedargate')
const needed = [join(modules, '.bin', 'node'), join(modules, '.bin', 'tsc'), commandLink]
const LOCK_POLL_MS = 200

/**
 * Names what an install depends on. Not the Node that runs this: the first run is on the machine's own, every later
 * one on the workspace's, and what pnpm installs is the same.
 */
function wanted() {
  const hash = createHash('sha256')
  for (const file of ['pnpm-lock.yaml', 'package.json', 'pnpm-workspace.yaml']) {
    const text = readFileSync(join(root, file))
    hash.update(`${file} ${text.length}\n`).update(text)
  }
  return hash.update(`${process.platform}-${process.arch}`).digest('hex')
}

function isComplete(stamp) {
  try {
    return readFileSync(stampFile, 'utf8') === stamp && needed.every((path) => existsSync(path))
  } catch {
    return false
  }
}

/** Takes the lock, or waits while a living process holds it. A lock whose process is gone is taken over. */
async function lock() {
  for (let told = false; ; ) {
    try {
      const file = openSync(lockFile, 'wx')
      writeSync(file, String(process.pid))
      closeSync(file)
      process.on('exit', () => rmSync(lockFile, { force: true }))
      return
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    const holder = lockHolder()
    if (holder !== undefined && !isAlive(holder)) takeOver(holder)
    else {
      if (!told) say(`another set-up is under way (process ${holder ?? '?'}); waiting for it`)
      told = true
      await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS))
    }
  }
}

/** The process id in the lock, or undefined while its owner has not written it yet. */
function lockHolder() {
  try {
    return Number(readFileSync(lockFile, 'utf8')) || undefined
  } catch {
    return undefined
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** A rename has one winner, so of several waiters one removes the dead lock and the others try again. */
function takeOver(holder) {
  if (lockHolder() !== holder) return
  const aside = `${lockFile}.${process.pid}`
  try {
    renameSync(lockFile, aside)
    rmSync(aside, { force: true })
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
  }
}

/** The environment of the machine: without our own node_modules/.bin, which the install is about to replace. */
function machineEnvironment() {
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((entry) => entry !== join(modules, '.bin'))
  const environment = { ...process.env, PATH: path.join(delimiter) }
  // With NODE_ENV=production pnpm leaves out the tools that `npm test` and the workspace's Node are.
  delete environment.NODE_ENV
  return environment
}

/** Runs `npx pnpm@… <args>`; everything it prints goes to stderr, except where `capture` asks for its stdout. */
function pnpm(version, args, capture = false) {
  return new Promise((resolve, reject) => {
    const child = spawn('npx', ['--yes', `pnpm@${version}`, ...args], {
      cwd: root,
      env: machineEnvironment(),
      stdio: ['ignore', capture ? 'pipe' : 2, 2],
      detached: true,
    })
    let output = ''
    child.stdout?.on('data', (chunk) => (output += chunk))
    const stop = (signal) => {
      endGroup(child.pid)
      process.exit(signal === 'SIGINT' ? 130 : 143)
    }
    const orphaned = watchParent(() => stop('SIGTERM'))
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, stop)
    child.on('error', reject)
    child.on('close', (status) => {
      clearInterval(orphaned)
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeListener(signal, stop)
      if (status === 0) resolve(output.trim())
      else reject(new Error(`\`pnpm ${args.join(' ')}\` ended with exit code ${status}`))
    })
  })
}

/** A shell that waits for us passes no signal on: when it is gone, so is the reason to install. */
function watchParent(onGone) {
  const parent = process.ppid
  return setInterval(() => process.ppid !== parent && onGone(), 500)
}

function endGroup(pid) {
  try {
    process.kill(-pid, 'SIGTERM')
  } catch {
    // Nothing is left of the group to end.
  }
}

/** pnpm puts its store beside the checkout's mount point when the home directory is on another one. */
async function storeArguments(version) {
  const store = await pnpm(version, ['store', 'path', '--silent'], true)
  if (!`${store}/`.startsWith(`${root}/`)) return []
  const data = process.env.XDG_DATA_HOME ?? join(homedir(), '.local', 'share')
  return ['--store-dir', join(data, 'pnpm', 'store')]
}

/** Order: the stamp goes first and comes last, so that an install which is interrupted is never taken for a whole one. */
async function install(stamp) {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const version = manifest.packageManager.replace(/^pnpm@/, '')
  rmSync(stampFile, { force: true })
  say(`installing with pnpm ${version} (the first time takes a minute or two)`)
  await pnpm(version, [
    'install',
    '--frozen-lockfile',
    '--prod=false',
    '--reporter=append-only',
    '--config.confirmModulesPurge=false',
    ...(await storeArguments(version)),
  ])
  mkdirSync(dirname(commandLink), { recursive: true })
  rmSync(commandLink, { force: true })
  symlinkSync(join('..', '..', 'bin', 'cedargate.mjs'), commandLink)
  writeFileSync(`${stampFile}.new`, stamp)
  renameSync(`${stampFile}.new`, stampFile)
  if (!isComplete(stamp)) throw new Error(`the install left out one of ${needed.join(', ')}`)
  say('set up')
}

function say(text) {
  process.stderr.write(`cedargate set-up: ${text}\n`)
}

function fail(error) {
  say(`failed: ${error.message}`)
  say(
    error.code === 'ENOENT'
      ? '`npx` was not found: install npm (it comes with Node) and run the command again'
      : 'see above for the cause. It needs the npm registry (`npm ping`) and about 1 GB of disk; then run the command again, nothing has to be cleaned up',
  )
  process.exitCode = 1
}

const stamp = wanted()
if (!isComplete(stamp)) {
  try {
    await lock()
    if (!isComplete(stamp)) await install(stamp)
  } catch (error) {
    fail(error)
  }
}
