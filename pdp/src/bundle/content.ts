// Owns a bundle as one text: what its id is the hash of, what is stored for as long as a decision names it, and how it
// is read again. Never says where a policy was written: that is not what a bundle is.
import canonicalize from 'canonicalize'
import { z } from 'zod'
import type { PolicyJson } from '../../../schemas/cedar.ts'
import type { Candidate } from '../engine/candidate.ts'
import { startCandidate } from '../engine/candidate.ts'
import type { BundleFiles, SourceFile } from './files.ts'

/**
 * `policies` are in Cedar's JSON form, as is `base`, the gateway's own at that time; `servers` holds per id its server.yaml
 * and its lock; `own` what the bundle brings beside MCP.
 */
const content = z.object({
  format: z.literal('cedargate-bundle/v1'),
  gateway: z.record(z.string(), z.unknown()),
  base: z.record(z.string(), z.looseObject({})).default({}),
  policies: z.record(z.string(), z.looseObject({})),
  own: z.object({ schema: z.record(z.string(), z.unknown()), entities: z.array(z.unknown()) }),
  servers: z.record(z.string(), z.object({ server: z.unknown(), lock: z.unknown() })),
})
export type Content = z.infer<typeof content>

/** RFC 8785 JSON. Throws TypeError on what is no JSON. */
export function contentText(value: Content & { readonly engine: object; readonly schema: object }) {
  const text = canonicalize(value)
  if (text === undefined) throw new TypeError('not JSON')
  return text
}

/** The same with each policy as Cedar prints it. */
export type PrintedContent = Omit<Content, 'base' | 'policies'> & {
  readonly base: Readonly<Record<string, string>>
  readonly policies: Readonly<Record<string, string>>
}

export async function printContent(of: Content): Promise<PrintedContent> {
  const candidate = await startCandidate()
  try {
    const [base, policies] = [await print(of.base, candidate), await print(of.policies, candidate)]
    return { ...of, base, policies }
  } finally {
    await candidate.close()
  }
}

async function print(
  policies: Content['policies'],
  candidate: Candidate,
): Promise<Record<string, string>> {
  const ids = Object.keys(policies)
  const texts = await candidate.print(Object.values(policies) as unknown as PolicyJson[])
  return Object.fromEntries(ids.map((id, at) => [id, texts[at] ?? '']))
}

/** Files that make a stored bundle again, with this release's engine and base policies. Throws when `text` is none. */
export async function storedFiles(text: string): Promise<BundleFiles> {
  return filesOf(await printContent(readContent(text)))
}

/** A stored bundle. Throws when it is none, or one of another format. */
export function readContent(text: string): Content {
  return content.parse(JSON.parse(text))
}

/** The `requireSignedBy` of a stored bundle. */
export function requiredSigners(text: string): readonly string[] {
  const { gateway } = readContent(text)
  return z.array(z.string()).catch([]).parse(gateway['requireSignedBy'])
}

function filesOf({ gateway, policies, own, servers }: PrintedContent): BundleFiles {
  const types = Object.keys(own.schema).length > 0
  return {
    gateway: jsonFile('gateway.yaml', gateway),
    servers: Object.entries(servers).map(([id, { server, lock }]) => ({
      id,
      server: jsonFile(`servers/${id}/server.yaml`, server),
      lock: jsonFile(`servers/${id}/tools.lock.json`, lock),
    })),
    policies: Object.entries(policies).map(([id, text]) => ({ file: `cedar/${id}.cedar`, text })),
    schemas: types ? [jsonFile('schema/own.cedarschema.json', own.schema)] : [],
    entities: types ? [jsonFile('entities/own.json', own.entities)] : [],
  }
}

/** JSON is YAML too. */
function jsonFile(file: string, value: unknown): SourceFile {
  return { file, text: JSON.stringify(value) }
}
