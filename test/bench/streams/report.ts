// Owns how a run of the benchmark `streams` is shown, and which of its figures are goals. Pure.
import { type Spread, spread } from '../gateway/measure.ts'
import type { Goal } from '../registry.ts'
import type { Through } from './bench.ts'
import type { Traffic } from './orders.ts'

export function goalsOf(
  { memory, windows, revoked, told, leftAtUpstream }: Through,
  most: Readonly<Record<'rssMiB' | 'longestGapMs' | 'revokedWithinMs', number>>,
): Goal[] {
  const ended = revoked.map(({ streamsMs, childrenMs }) => Math.max(streamsMs, childrenMs))
  const gaps = windows.map(({ gapMs, childGapMs }) => Math.max(gapMs.max, childGapMs.max))
  const refused = windows.reduce(
    (sum, { calls, childCalls }) => sum + calls.errors + childCalls.errors,
    0,
  )
  const wrong = revoked.reduce((sum, { left, othersEnded }) => sum + left + othersEnded, 0)
  return [
    { name: 'MiB the PEP ever held', value: memory.peak, most: most.rssMiB },
    { name: 'ms, longest silence of a stream or child', value: Math.max(...gaps), most: most.longestGapMs },
    { name: 'ms until all of a revoked grant was closed', value: Math.max(...ended), most: most.revokedWithinMs },
    { name: 'streams wrongly closed or left open', value: wrong + leftAtUpstream, most: 0 },
    { name: 'calls not answered by their server', value: refused, most: 0 },
    { name: 'streams not told of changed tools', value: told.missing, most: 0 },
  ] // biome-ignore format: one goal a line
}

export function report(direct: readonly Traffic[], through: Through): string {
  const { memory, cpu, openedMs, childrenMs, told, revoked, stoppedMs, windows } = through
  const reopened = memory.reopened.map(({ open, closed }) => `${whole(open)}/${whole(closed)}`)
  return [
    ...['directly', 'through'].map((name, arm) => trafficLine(name, arm === 0 ? direct : through.windows)),
    `children: a call p50 ${of(through.windows, ({ childCalls }) => childCalls.tookMs.p50)}, p99 ${of(through.windows, ({ childCalls }) => childCalls.tookMs.p99)}, longest without an answer ${of(through.windows, ({ childGapMs }) => childGapMs.max)} ms`,
    `memory, MiB: started ${whole(memory.idle)}, streams ${whole(memory.streams)}, children too ${whole(memory.children)}, traffic ${whole(memory.traffic)}, closed ${whole(memory.closed)}, open/closed again ${reopened.join(' ')}, most ever ${whole(memory.peak)}`,
    `the PEP used ${cpu.toFixed(2)} of a core; opening took ${seconds(openedMs)} s, the children ${seconds(childrenMs)} s, ${through.retried} requests tried again`,
    `a save of the bundle was told to ${told.streams} streams, the first after ${seconds(told.firstMs)} s, the last after ${seconds(told.lastMs)} s`,
    `the PEP stopped within ${seconds(stoppedMs)} s with all of it open`,
    ...windows.flatMap(({ calls, childCalls }) => calls.firstError ?? childCalls.firstError ?? []),
    `revoked: streams gone after ${shown(spread(revoked.map((it) => it.streamsMs)))} ms, children after ${shown(spread(revoked.map((it) => it.childrenMs)))} ms`,
  ].join('\n') // biome-ignore format: one line each
}

function trafficLine(name: string, windows: readonly Traffic[]): string {
  const { streams = 0 } = windows[0] ?? {}
  return [
    `${name}: ${streams} streams`,
    `silence p99 ${of(windows, ({ gapMs }) => gapMs.p99)}, max ${of(windows, ({ gapMs }) => gapMs.max)}`,
    `an event p50 ${of(windows, ({ eventMs }) => eventMs.p50)}, p99 ${of(windows, ({ eventMs }) => eventMs.p99)}`,
    `a call p50 ${of(windows, ({ calls }) => calls.tookMs.p50)}, p99 ${of(windows, ({ calls }) => calls.tookMs.p99)} ms`,
  ].join('; ')
}

function of(windows: readonly Traffic[], figure: (window: Traffic) => number): string {
  return shown(spread(windows.map(figure)))
}

function shown({ median, min, max }: Spread): string {
  const [middle, ...ends] = [median, min, max].map((value) => value.toFixed(value < 10 ? 1 : 0))
  return `${middle} (${ends.join('–')})`
}

const whole = (value: number): string => value.toFixed(0)
const seconds = (ms: number): string => (ms / 1000).toFixed(1)
