// Owns loading a bundle: read → check → compile → validate → a value that decides. A bundle with any error is no
// bundle at all: BundleError tells every one of them, and whatever was active stays.
import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import { gatewayFile } from '../../../schemas/bundle.ts'
import type { PolicyJson } from '../../../schemas/cedar.ts'
import { ENTITY, entityKey, packGeneration } from '../../../schemas/cedar.ts'
import { serverRules, urlRefusal } from '../../../schemas/dial.ts'
import { durationMs } from '../../../schemas/duration.ts'
import { variablesIn } from '../../../schemas/expand.ts'
import { CONNECT_ACTION } from '../../../schemas/mcp.ts'
import { MAPPER_VERSION } from '../authorize/arguments.ts'
import type { ActionKeys } from '../authorize/types.ts'
import type { Candidate } from '../engine/candidate.ts'
import { startCandidate } from '../engine/candidate.ts'
import { readBase, reservedIds } from './base.ts'
import type { Bundle, BundlePolicy, BundleServer, BundleTool } from './bundle.ts'
import { clientFindings } from './clients.ts'
import type { CompiledAction, CompiledSchema } from './compile.ts'
import { compilePolicies, compileSchema } from './compile.ts'
import { contentText } from './content.ts'
import { withoutEffect } from './derivations.ts'
import { openDirectory } from './directory.ts'
import type { BundleFiles } from './files.ts'
import { readBundleFiles } from './files.ts'
import type { Finding } from './findings.ts'
import { BundleError, errorAt, placeOf } from './findings.ts'
import { lintPolicies } from './lint.ts'
import type { OwnTypes } from './own-types.ts'
import { readOwnTypes, takenNames } from './own-types.ts'
import type { SourcePolicy } from './policies.ts'
import { readPolicies } from './policies.ts'
import type { ReviewedServer } from './servers.ts'
import { readServer } from './servers.ts'
import { validatePolicies } from './validate.ts'
import { readYaml } from './yaml.ts'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The bundle in `directory`. `env` is only used for the roots of derived paths. Throws BundleError with every finding
 * when the bundle is wrong, another error when it could not be checked. Does NOT activate it.
 */
export async function loadBundle(
  directory: string,
  { env }: { readonly env: Environment },
): Promise<Bundle> {
  return loadFiles(await readBundleFiles(await openDirectory(directory)), { env })
}

/** The bundle that these files make; else as loadBundle. */
export async function loadFiles(
  files: BundleFiles,
  { env }: { readonly env: Environment },
): Promise<Bundle> {
  const candidate = await startCandidate()
  try {
    return await load(files, env, candidate)
  } finally {
    await candidate.close()
  }
}

async function load(files: BundleFiles, env: Environment, candidate: Candidate): Promise<Bundle> {
  const { gateway, servers, own, policies } = await readSources(files, env, candidate)
  const base = await readBase(candidate)
  const compiled = await compileSchema(servers, own, candidate)
  await assertTogether(compiled, own, files, candidate)
  const validated = await validatePolicies(compiled, policies, candidate)
  const warnings = [
    ...derivationWarnings(compiled, servers, files),
    ...toolWarnings(compiled, files),
    ...urlWarnings(servers, files),
    ...validated,
    ...lintPolicies(policies, gateway),
  ]
  if (warnings.some(({ severity }) => severity === 'error')) throw new BundleError(warnings)

  const { actions, generation } = compilePolicies(compiled, {
    servers,
    own,
    policies: [...base, ...policies],
  })
  const [ours, theirs] = [jsonById(base), jsonById(policies)]
  const content = contentText({
    format: 'cedargate-bundle/v1',
    engine: candidate.identity,
    gateway,
    base: ours,
    policies: theirs,
    schema: compiled.schema,
    own: { schema: own.schema, entities: [...own.entities] },
    servers: Object.fromEntries(
      servers.map(({ id, file, lock, derived }) => [
        id,
        { server: file, lock, roots: rootsOf(derived) },
      ]),
    ),
  })
  const id = sha256(content)
  return {
    id,
    name: gateway.name,
    access: gateway.access,
    maxAgeMs: durationMs(gateway.maxBundleAge) ?? 0,
    requireSignedBy: gateway.requireSignedBy,
    identity: gateway.identity,
    digests: {
      policySet: sha256(
        canonical({
          format: 'cedar-set/v2',
          policies: { ...ours, ...theirs },
          templates: {},
          links: [],
        }),
      ),
      schema: sha256(canonical(compiled.schema)),
      mapper: sha256(MAPPER_VERSION),
    },
    servers: new Map(servers.map((server) => [server.id, bundleServer(server, compiled, actions)])),
    policies: bundlePolicies(policies),
    base: bundlePolicies(base),
    own: {
      actions: own.actions,
      types: own.types,
      entities: own.entities,
      keys: keysOf(actions, null),
      trustRequestProperties: gateway.trustRequestProperties,
    },
    generation: packGeneration({ id, ...generation }),
    content,
    warnings,
  }
}

/** Everything as it is written. Throws BundleError with all that is wrong by itself. */
async function readSources(files: BundleFiles, env: Environment, candidate: Candidate) {
  const gateway = readYaml(files.gateway, gatewayFile)
  const read = files.servers.map((server) => readServer(server, env))
  const servers = read.flatMap(({ server }) => server ?? [])
  const ids = new Set(files.servers.map(({ id }) => id))
  const own = await readOwnTypes(files.schemas, files.entities, candidate)
  const { policies, findings } = await readPolicies(files.policies, ids, candidate)
  const written = [
    ...(gateway.ok ? clientFindings(gateway.value, ids) : gateway.findings),
    ...read.flatMap((it) => it.findings),
    ...own.findings,
    ...findings,
    ...reservedIds(policies),
  ]
  if (!gateway.ok || written.length > 0) throw new BundleError(written)
  return { gateway: gateway.value, servers, own: own.own, policies }
}

/** The bundle's own types and ours, each right by itself, may still not stand in one schema. */
async function assertTogether(
  { schema }: CompiledSchema,
  own: OwnTypes,
  { schemas }: BundleFiles,
  candidate: Candidate,
): Promise<void> {
  const [first] = schemas
  if (first === undefined) return
  const taken = takenNames(own, schema, schemas)
  if (taken.length > 0) throw new BundleError(taken)
  const [problem = null] = await candidate.check([JSON.stringify(schema)])
  if (problem !== null) throw new BundleError([errorAt(first.file, problem)])
}

function derivationWarnings(
  { tools }: CompiledSchema,
  servers: readonly ReviewedServer[],
  files: BundleFiles,
): Finding[] {
  return servers.flatMap(({ id, derived }) => {
    const own = tools.filter(({ server }) => server === id)
    const found = files.servers.find((server) => server.id === id)
    const useless = withoutEffect(
      derived,
      own.map((tool) => tool.arguments),
    )
    return useless.map(({ kind, argument }) => {
      const message = `derive: no tool has an argument \`${argument}\` that \`${kind}\` fits`
      return { ...errorAt(found?.server.file ?? id, message), severity: 'warning' as const }
    })
  })
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

/** Servers that a PEP will not dial, as far as it shows in their URL. */
function urlWarnings(servers: readonly ReviewedServer[], files: BundleFiles): Finding[] {
  return servers.flatMap(({ id, upstream }) => {
    const url = URL.parse(upstream.url ?? '')
    const refused = url === null ? undefined : urlRefusal(url, serverRules(upstream, url))
    if (refused === undefined || variablesIn(upstream.url ?? '').length > 0) return []
    const file = files.servers.find((server) => server.id === id)?.server.file ?? id
    return [{ ...errorAt(file, `\`url\`: ${refused.message}`), severity: 'warning' as const }]
  })
}

function bundleServer(
  { id, file, upstream, lock }: ReviewedServer,
  compiled: CompiledSchema,
  actions: readonly CompiledAction[],
): BundleServer {
  const own = keysOf(actions, id)
  const keys = (action: string): ActionKeys => {
    const found = own.get(entityKey({ type: ENTITY.action, id: action }))
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
    credential: file.credential,
    lock,
    concealment: file.concealment,
    tools: new Map(tools.map((tool) => [tool.name, tool])),
    actions: {
      connect: keys(CONNECT_ACTION),
      'resources/read': keys('resources/read'),
      'prompts/get': keys('prompts/get'),
      'completion/complete': keys('completion/complete'),
      'sampling/createMessage': keys('sampling/createMessage'),
      'elicitation/create': keys('elicitation/create'),
      'roots/list': keys('roots/list'),
    },
  }
}

/** What derived paths start from: `${NAME}` in a server.yaml means something else on another machine. */
function rootsOf(derived: ReviewedServer['derived']): Record<string, string> {
  return Object.fromEntries(
    derived.flatMap((of) => (of.kind === 'path' ? [[of.name, of.root] as const] : [])),
  )
}

function keysOf(actions: readonly CompiledAction[], of: string | null): Map<string, ActionKeys> {
  return new Map(actions.filter(({ server }) => server === of).map((it) => [it.action, it.keys]))
}

function jsonById(policies: readonly SourcePolicy[]): Record<string, PolicyJson> {
  return Object.fromEntries(policies.map(({ id, policy }) => [id, policy]))
}

function bundlePolicies(policies: readonly SourcePolicy[]): Bundle['policies'] {
  return new Map(policies.map((policy) => [policy.id, bundlePolicy(policy)]))
}

function bundlePolicy({ id, mode, policy, text, offset, source }: SourcePolicy): BundlePolicy {
  const { owner, severity, reason } = policy.annotations ?? {}
  return {
    id,
    effect: policy.effect,
    owner: owner ?? null,
    severity: severity ?? null,
    reason: reason ?? null,
    mode,
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
