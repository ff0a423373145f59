// Owns the AuthZEN face of the PDP: words in, words out, every 400 of the specification. One decision core behind it.
// Never releases a credential, reserves a meter or consumes an approval: its decisions are advisory.
import type { Context } from 'hono'
import type { z } from 'zod'
import {
  type Evaluation,
  type EvaluationAnswer,
  evaluation,
  evaluations,
  type Semantic,
} from '../../../schemas/authzen.ts'
import { invalid, readBody } from './access-body.ts'
import type { Caller, GuardedRoute, PdpEnv } from './roles.ts'
import { SEARCH_PATHS, type Search, searchRoutes } from './search.ts'

/** Answers well-formed questions in order. A question it cannot map is a deny, not an error. */
export type Advise = (
  caller: Caller,
  questions: readonly Evaluation[],
) => Promise<EvaluationAnswer[]>

export type AccessPorts = {
  readonly advise: Advise
  readonly search: Search
  /** Base URL of this PDP, no trailing slash: AuthZEN §9.1 wants it identical to where the document was found. */
  readonly publicUrl: string
}

export function accessRoutes({ advise, search, publicUrl }: AccessPorts): GuardedRoute[] {
  return [
    {
      method: 'GET',
      path: '/.well-known/authzen-configuration',
      role: 'anyone',
      handler: discover,
    },
    { method: 'POST', path: '/access/v1/evaluation', role: 'caller', handler: evaluate },
    { method: 'POST', path: '/access/v1/evaluations', role: 'caller', handler: evaluateAll },
    ...searchRoutes(search),
  ]

  function discover(c: Context<PdpEnv>): Response {
    return c.json({
      policy_decision_point: publicUrl,
      access_evaluation_endpoint: `${publicUrl}/access/v1/evaluation`,
      access_evaluations_endpoint: `${publicUrl}/access/v1/evaluations`,
      ...Object.fromEntries(
        Object.entries(SEARCH_PATHS).map(([name, path]) => [name, `${publicUrl}${path}`]),
      ),
    })
  }

  async function evaluate(c: Context<PdpEnv>): Promise<Response> {
    const body = readBody(c, evaluation)
    if (!body.ok) return c.json(body.error, 400)
    const [result] = await advise(c.get('caller'), [body.value])
    return c.json(result ?? { decision: false })
  }

  async function evaluateAll(c: Context<PdpEnv>): Promise<Response> {
    const body = readBody(c, evaluations)
    if (!body.ok) return c.json(body.error, 400)
    const { evaluations: items = [], options, ...defaults } = body.value
    if (items.length === 0) {
      const single = evaluation.safeParse(defaults)
      if (!single.success) return c.json(invalid(single.error), 400)
      const [result] = await advise(c.get('caller'), [single.data])
      return c.json(result ?? { decision: false })
    }
    const semantic = options?.evaluations_semantic ?? 'execute_all'
    const questions = items.map((item) => evaluation.safeParse({ ...defaults, ...item }))
    return c.json({ evaluations: await answerAll(c.get('caller'), questions, semantic) })
  }

  /** AuthZEN §7.1.2: a short-circuiting batch answers up to and including the decision that ended it. */
  async function answerAll(
    caller: Caller,
    questions: readonly Question[],
    semantic: Semantic,
  ): Promise<EvaluationAnswer[]> {
    if (semantic === 'execute_all') return answerBatch(caller, questions)
    const answers: EvaluationAnswer[] = []
    for (const question of questions) {
      answers.push(...(await answerBatch(caller, [question])))
      if (answers.at(-1)?.decision === (semantic === 'permit_on_first_permit')) break
    }
    return answers
  }

  /** Same length, same order; an item in error answers `decision: false` in its place. */
  async function answerBatch(
    caller: Caller,
    questions: readonly Question[],
  ): Promise<EvaluationAnswer[]> {
    const valid = questions.flatMap((question) => (question.success ? [question.data] : []))
    const answers = (valid.length === 0 ? [] : await advise(caller, valid)).values()
    return questions.map((question) =>
      question.success ? (answers.next().value ?? { decision: false }) : inError(question.error),
    )
  }
}

type Question = ReturnType<typeof evaluation.safeParse>

function inError(error: z.ZodError): EvaluationAnswer {
  return { decision: false, context: { error: { status: 400, message: invalid(error).message } } }
}
