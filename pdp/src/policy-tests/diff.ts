// Owns what differs between two bundles: policies, servers, tools, and the decisions that the tests of both show to
// come out otherwise. Formatting and comments are no difference.
import type { Bundle } from '../bundle/bundle.ts'
import type { BundleContent, Offline } from './offline.ts'
import { contentOf, startOffline } from './offline.ts'
import type { Answer } from './run.ts'
import { askAll } from './run.ts'
import type { PolicyTest } from './tests.ts'

export type Change = 'added' | 'removed' | 'changed'
/** `before` and `after` as they are written; null where there is none. */
export type PolicyChange = {
  readonly change: Change
  readonly id: string
  readonly before: string | null
  readonly after: string | null
}
/** `server`: its server.yaml. `tool`: its reviewed definitions or risk. */
export type ServerChange = {
  readonly change: Change
  readonly server: string
  readonly tool: string | null
}
/** A request of the tests that one bundle allows and the other denies, or a tool that only one of them lists. */
export type Flip = {
  readonly name: string
  readonly file: string
  readonly before: Pick<Answer, 'decision' | 'code' | 'policies'>
  readonly after: Pick<Answer, 'decision' | 'code' | 'policies'>
  /** Of a list: tools that appear and disappear. */
  readonly shown: readonly string[]
  readonly hidden: readonly string[]
}

export type BundleDiff = {
  readonly gateway: boolean
  readonly policies: readonly PolicyChange[]
  readonly servers: readonly ServerChange[]
  readonly flips: readonly Flip[]
  /** Requests that both were asked. */
  readonly asked: number
}

/** One bundle and what its own tests ask. */
export type DiffSide = { readonly bundle: Bundle; readonly tests: readonly PolicyTest[] }

/** Compares two bundles. Throws when one cannot be activated. */
export async function diffBundles(before: DiffSide, after: DiffSide): Promise<BundleDiff> {
  const [old, now] = [contentOf(before.bundle), contentOf(after.bundle)]
  const tests = union([...before.tests, ...after.tests])
  return {
    gateway: !same(old.gateway, now.gateway),
    policies: policyChanges(before.bundle, after.bundle),
    servers: serverChanges(old.servers, now.servers),
    flips: await flipsOf(tests, before.bundle, after.bundle),
    asked: tests.length,
  }
}

/** The same question in both revisions, or twice in one, is asked once, under its later name. */
function union(tests: readonly PolicyTest[]): PolicyTest[] {
  return [...new Map(tests.map((test) => [JSON.stringify(test.question), test])).values()]
}

function policyChanges(before: Bundle, after: Bundle): PolicyChange[] {
  const [old, now] = [contentOf(before), contentOf(after)]
  return changes(old.policies, now.policies).map(({ change, name }) => ({
    change,
    id: name,
    before: before.policies.get(name)?.text ?? null,
    after: after.policies.get(name)?.text ?? null,
  }))
}

function serverChanges(
  before: BundleContent['servers'],
  after: BundleContent['servers'],
): ServerChange[] {
  return changes(before, after).flatMap(({ change, name }): ServerChange[] => {
    const [old, now] = [own(before, name), own(after, name)]
    if (old === undefined || now === undefined) return [{ change, server: name, tool: null }]
    const file: ServerChange[] = same(old.server, now.server)
      ? []
      : [{ change, server: name, tool: null }]
    const tools = changes(toolsOf(old), toolsOf(now))
    return [...file, ...tools.map((of) => ({ change: of.change, server: name, tool: of.name }))]
  })
}

/** Tool → its variants, each as risk and fingerprint. */
function toolsOf({ lock }: BundleContent['servers'][string]): Record<string, string[]> {
  const byName = Map.groupBy(lock.tools, ({ definition }) => definition.name)
  return Object.fromEntries(
    [...byName].map(([name, variants]) => [
      name,
      variants.map(({ risk, sha256 }) => `${risk} ${sha256}`).toSorted(),
    ]),
  )
}

async function flipsOf(
  tests: readonly PolicyTest[],
  before: Bundle,
  after: Bundle,
): Promise<Flip[]> {
  if (tests.length === 0) return []
  const questions = tests.map(({ question }) => question)
  const [old, now] = await Promise.all(
    [before, after].map((bundle) => withOffline(bundle, (offline) => askAll(questions, offline))),
  )
  return tests.flatMap((test, index): Flip[] => {
    const [was, is] = [old?.[index], now?.[index]]
    return was === undefined || is === undefined ? [] : flipOf(test, was, is)
  })
}

function flipOf({ name, file }: PolicyTest, was: Answer, is: Answer): Flip[] {
  const [old, now] = [new Set(was.visible), new Set(is.visible)]
  const shown = [...now.difference(old)]
  const hidden = [...old.difference(now)]
  if (was.decision === is.decision && shown.length === 0 && hidden.length === 0) return []
  return [{ name, file, before: said(was), after: said(is), shown, hidden }]
}

function said({ decision, code, policies }: Answer): Flip['before'] {
  return { decision, code, policies }
}

/** Starts `bundle`, and stops it whatever comes of `use`. */
export async function withOffline<Result>(
  bundle: Bundle,
  use: (offline: Offline) => Promise<Result>,
): Promise<Result> {
  const offline = await startOffline(bundle)
  try {
    return await use(offline)
  } finally {
    await offline.stop()
  }
}

type Named = { readonly change: Change; readonly name: string }

/** By name, what only one of them has or both have differently. */
function changes(
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
): Named[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].toSorted()
  return names.flatMap((name): Named[] => {
    if (!Object.hasOwn(before, name)) return [{ change: 'added', name }]
    if (!Object.hasOwn(after, name)) return [{ change: 'removed', name }]
    return same(before[name], after[name]) ? [] : [{ change: 'changed', name }]
  })
}

/** Contents are canonical JSON: equal values have equal texts. */
function same(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right)
}

function own<Value>(from: Readonly<Record<string, Value>>, name: string): Value | undefined {
  return Object.hasOwn(from, name) ? from[name] : undefined
}
