// A PDP that is gone, silent, slow, broken or lying: no such answer is an allow. The call is
// refused in the form a client shows to its model, and nothing of it reaches the server, then or
// later.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { RefusalCode } from '../../schemas/codes.ts'
import { DECIDE_TIMEOUT_MS } from '../../schemas/limits.ts'
import { type Fault, type Gateway, startGateway } from '../harness/gateway.ts'
import { callText, legacyText, type Request, tell } from '../harness/mcp-request.ts'

let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway()
})
afterAll(() => gateway.stop())
beforeEach(() => gateway.upstream.reset())
afterEach(() => {
  gateway.front.fault = undefined
})

const ALLOWED = { body: callText('{"message":"hi"}') }
const DENIED = { body: callText('{"message":"a secret"}') }

type Happened = {
  readonly status: number
  readonly isError: boolean
  readonly code: string | undefined
  readonly reached: number
  readonly recorded: number
}
async function happened(request: Request): Promise<Happened> {
  const before = await gateway.recorded()
  const { status, isError, said } = await tell(gateway, request)
  expect(said.text).toContain(said.code)
  const reached = gateway.upstream.reached.length
  return {
    status,
    isError,
    code: said.code,
    reached,
    recorded: (await gateway.recorded()) - before,
  }
}
const refused = (code: RefusalCode): Happened => {
  return { status: 200, isError: true, code, reached: 0, recorded: 0 }
}

/** Answers whatever it is with this. */
const saying = (status: number, body: string): Fault => {
  return (_asked, response) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(body)
}
/** The PDP's own results, changed on their way. */
type Result = { [field: string]: unknown }
const changing = (change: (results: Result[]) => unknown): Fault => {
  return async ({ body, pass }, response) => {
    const { results } = JSON.parse(await pass(body)) as { results: Result[] }
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ results: change(results) }))
  }
}
const withFields = (fields: Result): Fault =>
  changing((results) => results.map((one) => ({ ...one, ...fields })))

describe('it answers nothing that could be read', () => {
  test.each<{ name: string; fault: Fault }>([
    { name: 'hangs up', fault: (_asked, response) => response.destroy() },
    { name: 'hangs up in the middle', fault: async ({ body, pass }, response) => {
      const text = await pass(body)
      response.writeHead(200, { 'content-length': String(text.length) })
      response.write(text.slice(0, -10), () => response.destroy())
    } },
    { name: '500', fault: saying(500, '{"code":"internal"}') },
    { name: '500 with an allow', fault: async ({ body, pass }, response) => response.writeHead(500).end(await pass(body)) },
    { name: '401', fault: saying(401, '{}') },
    { name: '302', fault: (_asked, response) => response.writeHead(302, { location: '/healthz' }).end() },
    { name: '204', fault: (_asked, response) => response.writeHead(204).end() },
    { name: 'nothing', fault: saying(200, '') },
    { name: 'HTML', fault: saying(200, '<html>login</html>') },
    { name: 'null', fault: saying(200, 'null') },
    { name: 'no results', fault: saying(200, '{}') },
    { name: 'an empty list', fault: changing(() => []) },
    { name: 'an answer too many', fault: changing((results) => [...results, ...results]) },
    { name: 'results that are no list', fault: changing(([first]) => first) },
    { name: 'null for a verdict', fault: changing(() => [null]) },
    { name: 'a plain yes', fault: changing(() => [true]) },
    { name: 'another kind', fault: withFields({ kind: 'permission' }) },
    { name: 'an allow with the code of a deny', fault: withFields({ code: 'forbid' }) },
    { name: 'an allow with a code nobody knows', fault: withFields({ code: 'PERMIT' }) },
    { name: 'a deny with the code of an allow', fault: withFields({ decision: 'deny' }) },
    { name: 'an Allow in capitals', fault: withFields({ decision: 'Allow' }) },
    { name: 'an allow as a boolean', fault: withFields({ decision: true }) },
    { name: 'an allow without a record', fault: withFields({ record: null }) },
    { name: 'an allow with half a record', fault: withFields({ record: { leaf: '{}' } }) },
    { name: 'an allow without its policies', fault: withFields({ policies: 'staff/echo' }) },
    { name: 'an allow without an id', fault: withFields({ decisionId: null }) },
    { name: 'a rejection without a reason', fault: withFields({ kind: 'rejection', reason: 'none' }) },
  ])('$name', async ({ fault }) => {
    gateway.front.fault = fault
    expect(await happened(ALLOWED)).toEqual(refused('pdp_unavailable'))
  }) // biome-ignore format: a table
})

describe('it answers something else than was asked', () => {
  test.each<{ name: string; fault: Fault }>([
    { name: 'another request', fault: withFields({ requestId: randomUUID() }) },
    { name: 'no request', fault: withFields({ requestId: undefined }) },
    { name: 'another message', fault: withFields({ messageDigest: '0'.repeat(64) }) },
    { name: 'a message in capitals', fault: changing((all) => all.map((one) => ({ ...one, messageDigest: String(one['messageDigest']).toUpperCase() }))) },
    { name: 'no message', fault: withFields({ messageDigest: '' }) },
    { name: 'another server', fault: withFields({ server: 'twin' }) },
  ])('$name', async ({ fault }) => {
    gateway.front.fault = fault
    expect(await happened(ALLOWED)).toEqual(refused('verdict_mismatch'))
  }) // biome-ignore format: a table

  test('the allow of an earlier call, as it was and with the new request named in it', async () => {
    const seen: Result[] = []
    gateway.front.fault = changing((results) => {
      seen.push(...results)
      return results
    })
    expect(await tell(gateway, ALLOWED)).toMatchObject({ status: 200, said: {} })
    gateway.upstream.reset()
    gateway.front.fault = changing(() => seen)
    expect(await happened(DENIED)).toEqual(refused('verdict_mismatch'))
    gateway.front.fault = changing((results) =>
      results.map(({ requestId }) => ({ ...seen[0], requestId })),
    )
    expect(await happened(DENIED)).toEqual(refused('verdict_mismatch'))
  })

  test('one lie among many refuses its own call and no other', async () => {
    let asked = 0
    gateway.front.fault = changing((results) => {
      return results.map((one) => (asked++ === 3 ? { ...one, requestId: randomUUID() } : one))
    })
    const told = await Promise.all(Array.from({ length: 16 }, () => tell(gateway, ALLOWED)))
    const codes = told.map(({ said }) => said.code ?? 'forwarded')
    expect(codes.filter((code) => code === 'verdict_mismatch')).toHaveLength(1)
    expect(codes.filter((code) => code === 'forwarded')).toHaveLength(15)
    expect(gateway.upstream.reached).toHaveLength(15)
  })
})

describe('it is late', () => {
  test('it never answers', { timeout: 10_000 }, async () => {
    const open: (() => void)[] = []
    gateway.front.fault = (_asked, response) => open.push(() => response.destroy())
    const began = performance.now()
    expect(await happened(ALLOWED)).toEqual(refused('pdp_unavailable'))
    expect(performance.now() - began).toBeLessThan(DECIDE_TIMEOUT_MS + 1_000)
    for (const close of open) close()
  })

  test('an allow that comes after the refusal sends nothing', async () => {
    gateway.front.fault = async ({ body, pass }, response) => {
      const text = await pass(body)
      await sleep(DECIDE_TIMEOUT_MS + 200)
      response.end(text)
    }
    expect(await happened(ALLOWED)).toEqual(refused('pdp_unavailable'))
    await sleep(500)
    expect(gateway.upstream.reached).toEqual([])
  })
})

test('what is no tools/call is refused as a JSON-RPC error', async () => {
  gateway.front.fault = saying(500, '')
  const told = await tell(gateway, { body: legacyText('tools/list') })
  expect(told).toMatchObject({ status: 200, isError: false, said: { code: 'pdp_unavailable' } })
  const stream = await tell(gateway, { method: 'GET' })
  expect(stream).toMatchObject({ status: 503, said: { code: 'pdp_unavailable' } })
  expect(gateway.upstream.reached).toEqual([])
})

test('when it is well again, so is the gateway', async () => {
  expect(await tell(gateway, ALLOWED)).toMatchObject({ status: 200, isError: false, said: {} })
  expect(await tell(gateway, DENIED)).toMatchObject({ isError: true, said: { code: 'forbid' } })
})

test('its process is gone', async () => {
  await gateway.losePdp()
  expect(await happened(ALLOWED)).toEqual(refused('pdp_unavailable'))
  expect(await happened(DENIED)).toEqual(refused('pdp_unavailable'))
})
