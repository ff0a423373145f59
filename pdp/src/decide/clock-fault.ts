// Owns what is decided while our clock and the database's are too far apart: nothing is allowed, for what expired and
// what did not cannot be told. Never looks at a clock itself.
import type { Authorization } from '../authorize/types.ts'
import type { Active } from './decide.ts'

/** The same bundle, whose every answer is a deny with `clock_fault`. The record keeps what was asked. */
export function withWrongClock({ bundle, authorizer, own }: Active): Active {
  return {
    bundle,
    authorizer: {
      authorize: async (requests) => (await authorizer.authorize(requests)).map(faulty),
    },
    own: { ...own, authorize: async (requests) => (await own.authorize(requests)).map(faulty) },
  }
}

function faulty(authorization: Authorization): Authorization {
  return {
    ...authorization,
    decision: 'deny',
    code: 'clock_fault',
    policies: [],
    errors: [],
    shadow: null,
    visible: null,
    detail: 'the clocks of the gateway and its database are too far apart',
  }
}
