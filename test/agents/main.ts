// Owns `npm run test:agents`: real coding agents, headless, through a real gateway; one line for each agent and case.
// Needs the npm registry once, and no account: the agents' models are stubs on loopback. No part of `npm test`.
import { parseArgs } from 'node:util'
import { agentsOf } from './agents.ts'
import { CASES, runCase } from './cases.ts'
import { startGateway } from './gateway.ts'
import { defaultCache, openPackages, PACKAGES } from './packages.ts'

const HELP = `npm run test:agents [-- --cache <dir>]

Runs ${Object.entries(PACKAGES).map(([name, version]) => `${name} ${version}`).join(' and ')} headless against stub
model APIs on this machine, each through a real gateway, and checks what its model gets to read:
${CASES.map(({ name, about }) => `  ${name.padEnd(9)} ${about}`).join('\n')}

Their packages (about 770 MB, each under its owner's licence) are installed by npm, without install scripts, into
  --cache <dir>   default: ${defaultCache()}
and stay there; delete the folder to be rid of them. Nothing is sent to anybody's model: no account is needed.
Exit: 0 all as it must be · 2 could not be set up · 4 a case failed
` // biome-ignore format: long lines

const say = (line: string): void => void process.stdout.write(`${line}\n`)

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { cache: { type: 'string' }, help: { type: 'boolean', default: false } },
  })
  if (values.help) {
    say(HELP.trimEnd())
    return 0
  }
  const agents = agentsOf(await openPackages(values.cache ?? defaultCache(), say))
  say('gateway: starting `cedargate dev` on the example bundle')
  const gateway = await startGateway()
  let failed = 0
  try {
    for (const agent of agents)
      for (const one of CASES) {
        const began = performance.now()
        const { text, problems } = await runCase(one, agent, gateway)
        const seconds = ((performance.now() - began) / 1000).toFixed(1)
        const ok = problems.length === 0
        const head = `${agent.name.padEnd(11)} ${one.name.padEnd(8)} ${ok ? 'ok    ' : 'FAILED'} ${seconds} s`
        say(`${head}  the model read: ${JSON.stringify(text)}`)
        for (const problem of problems) say(`  ${problem.replaceAll('\n', '\n  ')}`)
        if (!ok) failed += 1
      }
  } finally {
    await gateway.stop()
  }
  const runs = agents.length * CASES.length
  say(`${runs - failed} passed, ${failed} failed`)
  return failed === 0 ? 0 : 4
} // biome-ignore format: long lines

const began = performance.now()
try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(`test:agents: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 2
}
if (process.exitCode !== 2 && !process.argv.includes('--help'))
  say(`all of it in ${((performance.now() - began) / 1000).toFixed(0)} s`)
