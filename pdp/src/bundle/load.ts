// Owns loading a bundle: read → check → compile → validate → a value that decides. A bundle with any error is no
// bundle at all: BundleError tells every one of them, and whatever was active stays.
import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import { gatewayFile } from '../../../schemas/bundle.ts'
import { MAPPER_VERSION } from '../authorize/arguments.ts'
import type { ActionKeys } from '../authorize/types.ts'
import type { Candidate } from '../engine/candidate.ts'
import { startCandidate } from '../engine/candidate.ts'
import type { Bundle, BundlePolicy, BundleServer, BundleTool } from './bundle.ts'
import type { CompiledAction, CompiledSchema } from './compile.ts'
import { compilePolicies, compileSchema } from './compile.ts'
import type { BundleFiles } from './files.ts'
import { readBundleFiles } from './files.ts'
import type { Finding } from './findings.ts'
import { BundleError, errorAt, placeOf } from './findings.ts'
import { lintPolicies } from './lint.ts'
import type { SourcePolicy } from './policies.ts'
import { findingIn, readPolicies } from './policies.ts'
import type { ReviewedServer } from './servers.ts'
import { readServer } from './servers.ts'
import { readYaml } from './yaml.ts'

/**
 * The bundle in `directory`. `env` is only used for the roots of derived paths. Throws BundleError with every finding
 * when the bundle is wrong, another error when it could not be checked. Does NOT activate it.
 */
export async function loadBundle(
  directory: string,
  { env }: { readonly env: Readonly<Record<string, string | undefined>> },
): Promise<Bundle> {
  const files = await readBundleFiles(directory)
  const candidate = await startCandidate()
  try {
    return await load(files, env, candidate)
  } finally {
    await candidate.close()
  }
}

async function load(
  files: BundleFiles,
  env: Readonly<Record<string, string | undefined>>,
  candidate: Candidate,
): Promise<Bundle> {
  const gateway = readYaml(files.gateway, gatewayFile)
  const read = files.servers.map((server) => readServer(server, env))
  const servers = read.flatMap(({ server }) => server ?? [])
  const ids = new Set(files.servers.map(({ id }) => id))
  const { policies, findings } = await readPolicies(files.policies, ids, candidate)
  const written = [
    ...(gateway.ok ? [] : gateway.findings),
    ...read.flatMap((it) => it.findings),
    ...findings,
  ]
  if (!gateway.ok || written.length > 0) throw new BundleError(written)

  const compiled = await compileSchema(servers, candidate)
  const validated = await validate(compiled, policies, candidate)
  const linted = lintPolicies(policies, gateway.value)
  const warnings = [...toolWarnings(compiled, files), ...validated, ...linted]
  if (warnings.some(({ severity }) => severity === 'error')) throw new BundleError(warnings)

  const texts = await printed(policies, candidate)
  const { actions, generation } = await compilePolicies(
    compiled,
    servers,
    policies,
    texts,
    candidate,
  )
  const byId = Object.fromEntries(texts)
  const content = canonical({
    format: 'cedargate-bundle/v1',
    engine: candidate.identity,
    gateway: gateway.value,
    policies: byId,
    schema: compiled.schema,
    servers: Object.fromEntries(servers.map(({ id, file, lock }) => [id, { server: file, lock }])),
  })
  const id = sha256(content)
  return {
    id,
    ...gateway.value,
    digests: {
      policySet: sha256(
        canonical({ format: 'cedar-set/v1', policies: byId, templates: {}, links: [] }),
      ),
      schema: sha256(canonical(compiled.schema)),
      mapper: sha256(MAPPER_VERSION),
    },
    servers: new Map(servers.map((server) => [server.id, bundleServer(server, compiled, actions)])),
    policies: new Map(policies.map((policy) => [policy.id, bundlePolicy(policy)])),
    generation: { id, ...generation },
    content,
    warnings,
  }
}

/** Strict validation against the whole schema, each finding where the policy is written. */
async function validate(
  { schema }: CompiledSchema,
  policies: readonly SourcePolicy[],
  candidate: Candidate,
): Promise<Finding[]> {
  const byId = new Map(policies.map((policy) => [policy.id, policy]))
  const texts = Object.fromEntries(policies.map(({ id, text }) => [id, text]))
  const problems = await candidate.validate(JSON.stringify(schema), texts)
  return problems.flatMap(({ policy, severity, message, start }) => {
    const source = byId.get(policy)
    return source === undefined ? [] : [findingIn(source, start, message, severity)]
  })
}

/** Each policy as Cedar prints it. A policy that would mean something else then is refused. */
async function printed(
  policies: readonly SourcePolicy[],
  candidate: Candidate,
): Promise<ReadonlyMap<string, string>> {
  const texts = await candidate.print(policies.map(({ policy }) => policy))
  const again = await candidate.parse(texts)
  const findings = policies.flatMap((source, index) => {
    const parsed = again[index]
    const same = parsed?.ok === true && canonical(parsed.policy) === canonical(source.policy)
    return same ? [] : [findingIn(source, 0, 'Cedar does not print this policy as it is written')]
  })
  if (findings.length > 0) throw new BundleError(findings)
  return new Map(policies.map(({ id }, index) => [id, texts[index] ?? '']))
}

function toolWarnings({ tools }: CompiledSchema, { servers }: BundleFiles): Finding[] {
  return tools.flatMap(({ server, name, latest, problem }) => {
    const lock = servers.find(({ id }) => id === server)?.lock
    if (problem === null || lock === undefined) return []
    const message = `tool \`${name}\`: no policy can read its arguments (${problem})`
    const at = placeOf(lock.text, Math.max(lock.text.indexOf(latest), 0))
    return [{ ...errorAt(lock.file, message, at), severity: 'warning' as const }]
  })
}

function bundleServer(
  { id, upstream, lock }: ReviewedServer,
  compiled: CompiledSchema,
  actions: readonly CompiledAction[],
): BundleServer {
  const own = new Map(
    actions.filter(({ server }) => server === id).map((it) => [it.action, it.keys]),
  )
  const keys = (action: string): ActionKeys => {
    const found = own.get(action)
    if (found === undefined) throw new Error(`the action \`${action}\` was not compiled`)
    return found
  }
  const tools = compiled.tools
    .filter(({ server }) => server === id)
    .map(({ name, risk, latest, action, arguments: { variants } }): BundleTool => {
      return { name, risk, latest, action: action.id, keys: keys(action.id), variants }
    })
  return {
    upstream,
    lock,
    tools: new Map(tools.map((tool) => [tool.name, tool])),
    actions: {
      connect: keys('connect'),
      'resources/read': keys('resources/read'),
      'prompts/get': keys('prompts/get'),
      'completion/complete': keys('completion/complete'),
    },
  }
}

function bundlePolicy({ id, policy, text, offset, source }: SourcePolicy): BundlePolicy {
  const { owner, severity, reason } = policy.annotations ?? {}
  return {
    id,
    effect: policy.effect,
    owner: owner ?? null,
    severity: severity ?? null,
    reason: reason ?? null,
    file: source.file,
    place: placeOf(source.text, offset),
    text,
  }
}

function canonical(value: unknown): string {
  const text = canonicalize(value)
  if (text === undefined) throw new TypeError('not JSON')
  return text
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
