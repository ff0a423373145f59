// Owns the search routes of the AuthZEN face: words in, words out. Unknown ids and types have no results, never an error.
import type { Context } from 'hono'
import type { z } from 'zod'
import type { Evaluation, SearchResult } from '../../../schemas/authzen.ts'
import { actionSearch, resourceSearch, subjectSearch } from '../../../schemas/authzen.ts'
import { readBody } from './access-body.ts'
import type { Caller, GuardedRoute, PdpEnv } from './roles.ts'

/** Each answers what fits the rest of the question; what is searched for is named by its type alone. */
export type Search = {
  readonly subjects: (caller: Caller, question: Evaluation) => Promise<readonly SearchResult[]>
  readonly resources: (caller: Caller, question: Evaluation) => Promise<readonly SearchResult[]>
  readonly actions: (
    caller: Caller,
    question: Omit<Evaluation, 'action'>,
  ) => Promise<readonly SearchResult[]>
}

const PATH = '/access/v1/search'

/** Where each search is, for discovery. */
export const SEARCH_PATHS = {
  search_subject_endpoint: `${PATH}/subject`,
  search_resource_endpoint: `${PATH}/resource`,
  search_action_endpoint: `${PATH}/action`,
} as const

export function searchRoutes(search: Search): GuardedRoute[] {
  const unnamed = { id: '' }
  return [
    route(SEARCH_PATHS.search_subject_endpoint, subjectSearch, (caller, question) =>
      search.subjects(caller, { ...question, subject: { ...unnamed, ...question.subject } }),
    ),
    route(SEARCH_PATHS.search_resource_endpoint, resourceSearch, (caller, question) =>
      search.resources(caller, { ...question, resource: { ...unnamed, ...question.resource } }),
    ),
    route(SEARCH_PATHS.search_action_endpoint, actionSearch, search.actions),
  ]
}

function route<Question>(
  path: string,
  schema: z.ZodType<Question>,
  find: (caller: Caller, question: Question) => Promise<readonly SearchResult[]>,
): GuardedRoute {
  return {
    method: 'POST',
    path,
    role: 'caller',
    handler: async (c: Context<PdpEnv>) => {
      const body = readBody(c, schema)
      if (!body.ok) return c.json(body.error, 400)
      const results = await find(c.get('caller'), body.value)
      return c.json({ results, page: { next_token: '' } })
    },
  }
}
