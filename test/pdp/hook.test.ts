// The webhook of the bundle's repository: only a call that its host signed makes the PDP look, and no call says what to
// look at.
import { createHmac } from 'node:crypto'
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { API_BODY_BYTES_MAX } from '../../schemas/limits.ts'
import { AUTHZEN_BUNDLE, startTestPdp, type TestPdp } from '../harness/pdp.ts'

const SECRET = 'between-the-host-and-us'
const BODY = '{"ref":"refs/heads/main"}'
const sign = (secret: string, body: string, algorithm = 'sha256') =>
  `${algorithm}=${createHmac(algorithm, secret).update(body).digest('hex')}`

let home: string
let pdp: TestPdp
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'cedargate-hook-'))
  await cp(AUTHZEN_BUNDLE, home, { recursive: true })
  pdp = await startTestPdp(home, { webhookSecret: SECRET })
})
afterAll(async () => {
  await pdp.stop()
  await rm(home, { recursive: true })
})

async function call(headers: Record<string, string>, body: string, to = pdp): Promise<Response> {
  return to.app.request('/hooks/bundle', { method: 'POST', headers, body })
}
const confirmedAt = () => pdp.admin.bundleState().confirmedAt

describe('a call that is signed', () => {
  test.each([
    { name: 'as GitHub does', headers: { 'x-hub-signature-256': sign(SECRET, BODY) }, body: BODY },
    { name: 'as GitLab does', headers: { 'x-gitlab-token': SECRET }, body: BODY },
    { name: 'though it is empty', headers: { 'x-hub-signature-256': sign(SECRET, '') }, body: '' },
    { name: 'though it is no JSON', headers: { 'x-hub-signature-256': sign(SECRET, '{') }, body: '{' },
  ])('$name: 202, and the source is looked at', async ({ headers, body }) => {
    const before = confirmedAt()
    await new Promise((resolve) => setTimeout(resolve, 5))
    const answer = await call(headers, body)
    expect({ status: answer.status, said: await answer.text() }).toEqual({ status: 202, said: '' })
    await expect.poll(confirmedAt).not.toBe(before)
  })

  test('activates what the source holds', async () => {
    const { id } = pdp.bundle
    await writeFile(join(home, 'gateway.yaml'), 'name: Other\n')
    expect((await call({ 'x-gitlab-token': SECRET }, BODY)).status).toBe(202)
    await expect.poll(() => pdp.bundle.id).not.toBe(id)
  })
}) // biome-ignore format: a table

describe('a call that is not', () => {
  test.each<{ name: string; headers: Record<string, string>; body?: string }>([
    { name: 'nothing', headers: {} },
    { name: 'the operator’s token', headers: { authorization: 'Bearer x' } },
    { name: 'another secret', headers: { 'x-hub-signature-256': sign('other', BODY) } },
    { name: 'another body', headers: { 'x-hub-signature-256': sign(SECRET, BODY) }, body: `${BODY} ` },
    { name: 'no algorithm', headers: { 'x-hub-signature-256': sign(SECRET, BODY).slice('sha256='.length) } },
    { name: 'SHA-1', headers: { 'x-hub-signature': sign(SECRET, BODY, 'sha1') } },
    { name: 'half a signature', headers: { 'x-hub-signature-256': sign(SECRET, BODY).slice(0, 30) } },
    { name: 'an empty signature', headers: { 'x-hub-signature-256': '' } },
    { name: 'an empty token', headers: { 'x-gitlab-token': '' } },
    { name: 'another token', headers: { 'x-gitlab-token': `${SECRET}x` } },
    { name: 'another token beside a signature', headers: { 'x-gitlab-token': 'x', 'x-hub-signature-256': sign(SECRET, BODY) } },
  ])('$name: 401', async ({ headers, body = BODY }) => {
    const answer = await call(headers, body)
    expect({ status: answer.status, said: await answer.json() }).toEqual({
      status: 401,
      said: { code: 'unauthenticated', message: 'the call is not signed as it must be' },
    })
  })

  test('too large: 413, signed or not', async () => {
    const body = 'x'.repeat(API_BODY_BYTES_MAX + 1)
    for (const secret of [SECRET, 'other']) {
      const answer = await call({ 'x-hub-signature-256': sign(secret, body) }, body)
      expect(answer.status).toBe(413)
    }
    const most = body.slice(1)
    expect((await call({ 'x-hub-signature-256': sign(SECRET, most) }, most)).status).toBe(202)
  })

  test('GET: 404', async () => {
    expect((await pdp.app.request('/hooks/bundle')).status).toBe(404)
  })
}) // biome-ignore format: a table

test('without a secret there is no webhook', async () => {
  const without = await startTestPdp(AUTHZEN_BUNDLE)
  for (const headers of [{ 'x-gitlab-token': '' }, { 'x-hub-signature-256': sign('', BODY) }]) {
    expect((await call(headers, BODY, without)).status).toBe(404)
  }
  await without.stop()
})
