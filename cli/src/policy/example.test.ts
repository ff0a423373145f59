// The example bundle does what it shows: its checks pass as the scripts of its GitHub Action run them.
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'

const root = join(import.meta.dirname, '../../..')
const node = join(root, 'node_modules/.bin/node')
const CEDARGATE = `${node} ${join(root, 'cli/src/main.ts')}`

let checkout: string
beforeAll(async () => {
  checkout = await mkdtemp(join(tmpdir(), 'cedargate-checkout-'))
  await cp(join(root, 'policies'), checkout, { recursive: true })
})
afterAll(() => rm(checkout, { recursive: true }))

/** As the action's steps do: in the checkout, with the inputs as environment. */
async function script(name: string, env: Readonly<Record<string, string>> = {}) {
  const path = join(checkout, '.github/scripts', name)
  const surroundings = { PATH: '/usr/bin:/bin', BUNDLE: '.', CEDARGATE, ...env }
  try {
    const { stdout } = await promisify(execFile)(path, [], { cwd: checkout, env: surroundings })
    return { code: 0, stdout }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, stdout: stdout + stderr }
  }
}

test('every step of the action passes', async () => {
  for (const name of ['fmt.sh', 'check.sh', 'schema.sh', 'test.sh']) {
    expect([name, await script(name, { JUNIT: 'out.xml' })]).toEqual([
      name,
      { code: 0, stdout: expect.any(String) },
    ])
  }
  const xml = await readFile(join(checkout, 'out.xml'), 'utf8')
  expect(xml).toMatch(/failures="0"/)
})

test('every policy of it is tested', async () => {
  expect((await script('test.sh')).stdout).toContain('every policy is tested')
})

test('each step fails on what it is there for', async () => {
  const file = join(checkout, 'cedar/interns.cedar')
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace('"read"', '"write"').replace('permit (', 'permit  ('))
  expect(await script('fmt.sh')).toMatchObject({ code: 3 })
  expect(await script('test.sh')).toMatchObject({ code: 4 })
  await writeFile(file, text.replace('Team', 'Tea'))
  const check = await script('check.sh')
  expect(check.code).toBe(3)
  expect(check.stdout).toMatch(/^::error file=cedar\/interns\.cedar,line=\d+,col=\d+::/)
  await writeFile(file, text)
  await writeFile(join(checkout, 'cedargate.cedarschema'), '')
  expect(await script('schema.sh')).toMatchObject({ code: 3 })
}, 60_000)

test('flips against a revision', async () => {
  const git = (...words: string[]) =>
    promisify(execFile)('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', '-c', 'commit.gpgsign=false', ...words], { cwd: checkout }) // biome-ignore format: one command
  await git('init', '-q')
  await git('add', '-A')
  await git('commit', '-qm', 'first')
  expect(await script('diff.sh', { COMPARE: 'HEAD' })).toMatchObject({ code: 0 })
  await rm(join(checkout, 'cedar/interns.cedar'))
  const tests = join(checkout, 'tests/people.yaml')
  const matrix = await readFile(tests, 'utf8')
  await writeFile(tests, matrix.replaceAll(/^ {6}bob: .*interns.*\n/gm, ''))
  const flips = await script('diff.sh', { COMPARE: 'HEAD' })
  expect(flips.code).toBe(5)
  expect(flips.stdout).toContain('- policy interns/read')
}, 60_000)

test('the action runs nothing but its scripts', async () => {
  const action = parse(await readFile(join(checkout, '.github/actions/policy/action.yml'), 'utf8'))
  const runs = (action as { runs: { steps: { run: string }[] } }).runs.steps.map(({ run }) => run)
  for (const run of runs) {
    const [, name = ''] =
      /^"\$GITHUB_ACTION_PATH\/\.\.\/\.\.\/scripts\/([a-z]+\.sh)"$/.exec(run) ?? []
    expect(await readFile(join(checkout, '.github/scripts', name), 'utf8')).toMatch(
      /^#!\/bin\/sh\n/,
    )
  }
  expect(runs).toHaveLength(5)
})
