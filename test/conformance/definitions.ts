// Owns asking a server that speaks both eras what tools it lists in each. As a client of the wire, not of an SDK:
// what is locked must be what was sent.
import { z } from 'zod'
import { type ToolDefinition, toolDefinition } from '../../schemas/bundle.ts'
import { META } from '../../schemas/mcp.ts'

const CLIENT = { name: 'conformance-lock', version: '1' }
const MODERN = '2026-07-28'
const LEGACY = '2025-11-25'
/** Checked and not copied: a parsed copy would have its keys in another order. */
const definition = z.custom<ToolDefinition>((tool) => toolDefinition.safeParse(tool).success)
const listed = z.object({ result: z.object({ tools: z.array(definition) }) })

/** All that `url` lists, in either era; a tool that both list alike comes twice. Throws when it does not answer. */
export async function definitionsOf(url: string): Promise<ToolDefinition[]> {
  const { headers } = await post(url, 'initialize', {
    protocolVersion: LEGACY,
    capabilities: {},
    clientInfo: CLIENT,
  })
  const session = headers.get('mcp-session-id') ?? ''
  const legacy = await list(url, {}, { 'mcp-session-id': session, 'mcp-protocol-version': LEGACY })
  const meta = {
    [META.protocolVersion]: MODERN,
    [META.clientInfo]: CLIENT,
    'io.modelcontextprotocol/clientCapabilities': {},
  }
  const own = { 'mcp-protocol-version': MODERN, 'mcp-method': 'tools/list' }
  const modern = await list(url, { _meta: meta }, own)
  await fetch(url, { method: 'DELETE', headers: { 'mcp-session-id': session } })
  return [...legacy, ...modern]
}

async function list(
  url: string,
  params: object,
  headers: Record<string, string>,
): Promise<ToolDefinition[]> {
  const response = await post(url, 'tools/list', params, headers)
  const text = await response.text()
  const data = text.split('\n').findLast((line) => line.startsWith('data: {'))
  return listed.parse(JSON.parse(data?.slice(6) ?? text)).result.tools
}

async function post(
  url: string,
  method: string,
  params: object,
  headers: Record<string, string> = {},
): Promise<Response> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...headers,
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  })
  if (!response.ok) throw new Error(`${method} was answered with ${response.status}`)
  return response
}
