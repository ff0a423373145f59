// Owns measuring what a credential adds to an allow: at the PDP that hands it out, and at the PEP that believes it. Servers
// that differ in nothing else are asked about side by side, in an order by chance.
import { hash } from 'node:crypto'
import { Credential } from '../../../pep/src/credential.ts'
import { answerMask } from '../../../pep/src/mask/answer-mask.ts'
import { readVerdict } from '../../../pep/src/verdict.ts'
import { quantile } from '../streams/plan.ts'
import type { Plan } from './plan.ts'
import { type Asker, KINDS, type Kind } from './setting.ts'

export type Percentiles = { readonly p50: number; readonly p99: number }
export type Allows = {
  /** One decision through the whole PDP, and reading its answer with the headers it makes, in µs. */
  readonly decideUs: Readonly<Record<Kind, Percentiles>>
  readonly readUs: Readonly<Record<Kind, Percentiles>>
  /** Both. */
  readonly allowUs: Readonly<Record<Kind, Percentiles>>
}

export async function measureAllows(asker: Asker, { decisions, warmUp }: Plan): Promise<Allows> {
  const [decideUs, readUs, allowUs] = [timesOfEach(), timesOfEach(), timesOfEach()]
  for (let round = -warmUp; round < decisions; round++) {
    for (const kind of shuffled(KINDS)) {
      const call = asker.call(kind)
      const began = performance.now()
      const value = await asker.decide(0, call)
      const decided = performance.now()
      const { requestId, server, message } = call
      const grant = (value as { readonly grant?: string | null } | undefined)?.grant ?? null
      const question = { requestId, server, grant, messageDigest: hash('sha256', message) }
      const from = performance.now()
      const verdict = readVerdict(value, question)
      const released = verdict.kind === 'verdict' ? verdict.credential : undefined
      const headers = released === undefined ? undefined : new Credential(released).headers()
      const read = performance.now()
      if (verdict.kind !== 'verdict' || verdict.decision !== 'allow')
        throw new Error(`it was not allowed: ${JSON.stringify(value)}`)
      if ((headers === undefined) !== (kind === 'none')) throw new Error('another credential')
      if (round < 0) continue
      const took = [decided - began, read - from] as const
      decideUs[kind].push(took[0] * 1_000)
      readUs[kind].push(took[1] * 1_000)
      allowUs[kind].push((took[0] + took[1]) * 1_000)
    }
  }
  return {
    decideUs: percentilesOf(decideUs),
    readUs: percentilesOf(readUs),
    allowUs: percentilesOf(allowUs),
  }
}

function timesOfEach(): Record<Kind, number[]> {
  return { none: [], header: [], client: [], account: [] }
}

/** µs per KiB to search an answer of a server, that holds no secret, for this one. */
export async function measureMask(
  asker: Asker,
  kind: Kind,
  { answers, answerKiB }: Plan,
): Promise<Percentiles> {
  const { credential } = (await asker.decide(0, asker.call(kind))) as { credential: ConstructorParameters<typeof Credential>[0] } // biome-ignore format: long
  const masker = new Credential(credential).masker()
  const mask = answerMask(
    () => [masker],
    () => {
      throw new Error('there is no secret in it')
    },
  )
  const line = { title: 'a row of a table', url: 'https://example.com/a?b=c', text: 'it says\n"x"' }
  const rows = Array.from({ length: answerKiB * 12 }, (_, id) => ({ id, ...line }))
  const text = JSON.stringify({ jsonrpc: '2.0', id: 1, result: { rows } }).slice(0, answerKiB * 1_024) // biome-ignore format: long
  const took: number[] = []
  for (let index = 0; index < answers; index++) {
    const began = performance.now()
    mask.message(text)
    took.push(((performance.now() - began) * 1_000) / answerKiB)
  }
  return { p50: quantile(took, 0.5), p99: quantile(took, 0.99) }
}

function percentilesOf(times: Record<Kind, number[]>): Record<Kind, Percentiles> {
  const of = (kind: Kind): Percentiles => ({
    p50: quantile(times[kind], 0.5),
    p99: quantile(times[kind], 0.99),
  })
  return {
    none: of('none'),
    header: of('header'),
    client: of('client'),
    account: of('account'),
  }
}

function shuffled<Value>(values: readonly Value[]): Value[] {
  return values
    .map((value) => ({ value, at: Math.random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ value }) => value)
}
