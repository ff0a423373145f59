// Who loses what they may while they connect an account keeps nothing: at every step, and in the moment of writing.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Connecting, startConnecting } from '../harness/connecting.ts'

let it: Connecting
beforeAll(async () => {
  it = await startConnecting()
  it.idp.accounts.set('bob', {})
  it.idp.accounts.set('keeper', { groups: ['Keepers'] })
})
afterAll(() => it.stop())
beforeEach(async () => {
  it.as.tokenDelayMs = 0
  it.as.tokenRequests.length = 0
  await it.forget()
  for (const user of ['bob', 'keeper']) {
    await it.link(user)
    await order('POST', user, 'reinstate')
  }
  await order('PUT', 'bob', 'roles', { roles: ['credential-admin'] })
})

async function order(method: string, user: string, path: string, body: object = {}): Promise<void> {
  const headers = { ...it.pdp.authorization('operator'), 'content-type': 'application/json' }
  const init = { method, headers, body: JSON.stringify(body) }
  const answer = await it.pdp.app.request(`/admin/v1/users/${user}/${path}`, init)
  expect({ status: answer.status, said: await answer.text() }).toMatchObject({ status: 200 })
}

const offboarded = (user: string) => order('POST', user, 'offboard')
const unlinked = (user: string) => order('DELETE', user, 'link')
const withoutRole = (user: string) => order('PUT', user, 'roles', { roles: [] })

type Loss = { what: string; who: string; server: string; lose: (user: string) => Promise<void> }
const LOSSES: Loss[] = [
  { what: 'an admin who is offboarded', who: 'bob', server: 'files', lose: offboarded },
  { what: 'an admin whose role is taken', who: 'bob', server: 'files', lose: withoutRole },
  { what: 'an admin whose link is taken', who: 'bob', server: 'files', lose: unlinked },
  { what: 'an admin by their groups, who is offboarded', who: 'keeper', server: 'files', lose: offboarded },
  { what: 'a person who is offboarded', who: 'bob', server: 'everything', lose: offboarded },
  { what: 'a person whose link is taken', who: 'bob', server: 'everything', lose: unlinked },
] // biome-ignore format: a table

describe.each(LOSSES)('$what', ({ who, server, lose }) => {
  beforeEach(async () => {
    await it.pdp.admin.createGrant({ user: who, agent: 'demo', servers: [server], teams: [], expiresInMs: 60_000 })
  }) // biome-ignore format: short
  const begin = async () => {
    const browser = it.browser()
    const page = await browser.signIn(who, `/connect/${server}`)
    expect(page.status).toBe(200)
    return { browser, page }
  }

  test('on the page that asks', async () => {
    const { browser, page } = await begin()
    await lose(who)
    expect((await browser.get('/oauth/consent')).status).toBe(403)
    const csrf = /name="csrf" value="([^"]+)"/.exec(page.text)?.[1] ?? ''
    expect((await browser.post('/oauth/consent', { csrf })).status).toBe(403)
  })

  test('at the authorization server', async () => {
    const { browser, page } = await begin()
    const back = await it.as.login('mallory', await browser.agree(page))
    await lose(who)
    expect((await browser.get(back)).status).toBe(403)
    expect(it.as.tokenRequests).toEqual([])
    expect(await it.kept()).toEqual([])
  })

  test.each(['nothing', 'an account'])('while the token is fetched, where %s was kept before', async (before) => {
    if (before !== 'nothing') await it.browser().connect(who, `/connect/${server}`)
    const kept = await it.kept()
    const { browser, page } = await begin()
    const back = await it.as.login('mallory', await browser.agree(page))
    it.as.tokenRequests.length = 0
    it.as.tokenDelayMs = 500
    const done = browser.get(back)
    await expect.poll(() => it.as.tokenRequests.length).toBe(1)
    await lose(who)
    const { status, text } = await done
    expect(status).toBe(403)
    expect(text).toContain('nothing was kept')
    for (const one of await it.kept()) expect(kept, 'what was there').toContainEqual(one)
  }) // biome-ignore format: short
})

test('who was offboarded comes back without the role', async () => {
  const browser = it.browser()
  const page = await browser.signIn('bob', '/connect/files')
  const back = await it.as.login('mallory', await browser.agree(page))
  await offboarded('bob')
  await order('POST', 'bob', 'reinstate')
  expect((await browser.get(back)).status).toBe(403)
  expect(await it.kept()).toEqual([])
})
