// Owns the benchmark `gateway`: what a call costs through the gateway with everything on, beside the least a proxy costs.
import { startCluster } from '../../harness/postgres.ts'
import type { Bench, BenchOptions } from '../registry.ts'
import { startChild } from './child-process.ts'
import { commitP50Us } from './commit.ts'
import { type Arm, measure, type Plan, spread } from './measure.ts'
import { compared, table } from './report.ts'
import { createDatabase, type Gateway, startApart, startTogether } from './services.ts'

const FULL: Plan = {
  passes: 3,
  heatMs: 8_000,
  connections: [1, 16, 64],
  warmupMs: 2_000,
  durationMs: 5_000,
}
const QUICK: Plan = {
  passes: 1,
  heatMs: 1_000,
  connections: [1, 64],
  warmupMs: 1_000,
  durationMs: 2_000,
}
const COMMITS = 1_000

export const gatewayBench: Bench = {
  name: 'gateway',
  about: 'a tools/call through the gateway, beside the upstream alone and a bare reverse proxy',
  run,
}

async function run({ quick, say }: BenchOptions): Promise<object> {
  const ending: (() => void | Promise<void>)[] = []
  try {
    const plan = quick ? QUICK : FULL
    say('starting PostgreSQL, the upstream, the proxy and the gateway twice')
    const cluster = await startCluster({ durable: true })
    ending.push(cluster.stop)
    const { arms, upstreamUrl } = await startArms(cluster.url, ending)
    const commitDatabase = await createDatabase(cluster.url, 'bench_commit')
    const commits: number[] = []
    for (let pass = 0; pass < plan.passes; pass++)
      commits.push(await commitP50Us(commitDatabase, COMMITS))
    const commit = spread(commits)
    const rows = compared(await measure(arms, upstreamUrl, plan, say))
    say(`\n${table(arms, rows, commit)}\n`)
    const { version } = cluster
    return { postgres: version, plan, commitP50Us: commit, rows }
  } finally {
    for (const end of ending.toReversed()) await end()
  }
}

async function startArms(
  clusterUrl: string,
  ending: (() => void | Promise<void>)[],
): Promise<{ arms: Arm[]; upstreamUrl: string }> {
  const upstream = await startChild('upstream.ts')
  ending.push(upstream.stop)
  const proxy = await startChild('reverse-proxy.ts', [upstream.url])
  ending.push(proxy.stop)
  const gateway = async (
    name: string,
    start: (database: string, upstreamUrl: string) => Promise<Gateway>,
  ): Promise<Arm> => {
    const started = await start(await createDatabase(clusterUrl, name), upstream.url)
    ending.push(started.stop)
    return started.arm
  }
  const arms = [
    { key: 'a', label: '(a) the upstream directly', url: `${upstream.url}/mcp`, headers: {} },
    { key: 'b', label: '(b) bare reverse proxy', url: `${proxy.url}/mcp`, headers: {} },
    await gateway('bench_apart', startApart),
    await gateway('bench_together', startTogether),
  ]
  return { arms, upstreamUrl: upstream.url }
}
