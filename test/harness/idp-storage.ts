// Owns what the provider of idp.ts remembers: sessions, codes, tokens, in memory, for the time of one test file. It
// ignores how long things live: what expires says so itself.
import type { Adapter, AdapterFactory, AdapterPayload } from 'oidc-provider'

/** One storage, whatever provider object stands before it: a provider with new keys still knows its codes. */
export function memoryStorage(): AdapterFactory {
  const kept = new Map<string, AdapterPayload>()
  return (model): Adapter => {
    const find = (of: (payload: AdapterPayload) => boolean) => {
      const own = [...kept].filter(([key]) => key.startsWith(`${model}:`))
      return Promise.resolve(own.map(([, payload]) => payload).find(of))
    }
    return {
      upsert: async (id, payload) => void kept.set(`${model}:${id}`, payload),
      find: async (id) => kept.get(`${model}:${id}`),
      findByUid: (uid) => find((payload) => payload.uid === uid),
      findByUserCode: (code) => find((payload) => payload.userCode === code),
      destroy: async (id) => void kept.delete(`${model}:${id}`),
      async consume(id) {
        const payload = kept.get(`${model}:${id}`)
        if (payload !== undefined) payload['consumed'] = Math.floor(Date.now() / 1000)
      },
      async revokeByGrantId(grantId) {
        for (const [key, payload] of kept) if (payload.grantId === grantId) kept.delete(key)
      },
    }
  }
}
