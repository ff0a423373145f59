// Owns running the real agents headless: their configuration, their environment, one prompt, one end. Each run has a home
// of its own and nothing of this machine's settings; its model is a stub on loopback.
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AgentPrograms } from './packages.ts'
import {
  SERVER_NAME,
  type Stub,
  startMessagesStub,
  startResponsesStub,
  type ToolCall,
} from './stub.ts'

/** Where the agent's MCP server is. */
export type Target = { readonly url: string; readonly token: string }
export type AgentRun = {
  readonly saw: ReturnType<Stub['saw']>
  /** All the agent printed, for who looks for the reason of a failure. */
  readonly printed: string
}
export type Agent = {
  readonly name: string
  /** Has the agent make that call. Does NOT throw when it fails: `saw` is undefined then. */
  readonly run: (call: ToolCall, target: Target) => Promise<AgentRun>
}

const RUN_TIMEOUT_MS = 60_000
const PROMPT = 'Call the tool.'

export function agentsOf({ claudeCode, codex }: AgentPrograms): readonly Agent[] {
  return [
    { name: 'claude-code', run: (call, target) => runClaudeCode(claudeCode, call, target) },
    { name: 'codex', run: (call, target) => runCodex(codex, call, target) },
  ]
}

function runClaudeCode(program: string, call: ToolCall, target: Target): Promise<AgentRun> {
  return inHome(startMessagesStub(call), async (stub, home) => {
    const headers = { Authorization: `Bearer ${target.token}` }
    const server = { type: 'http', url: target.url, headers }
    const config = join(home, 'mcp.json')
    await writeFile(config, JSON.stringify({ mcpServers: { [SERVER_NAME]: server } }))
    const mcp = ['--mcp-config', config, '--strict-mcp-config']
    const words = ['-p', PROMPT, ...mcp, '--allowedTools', `mcp__${SERVER_NAME}`]
    return runAgent([program, ...words], home, {
      ANTHROPIC_BASE_URL: stub.origin,
      ANTHROPIC_API_KEY: 'none',
      DISABLE_TELEMETRY: '1',
      DISABLE_AUTOUPDATER: '1',
      DISABLE_ERROR_REPORTING: '1',
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      // Every tool in the first request, as a model sees them that has searched.
      ENABLE_TOOL_SEARCH: 'false',
    })
  })
}

function runCodex(program: string, call: ToolCall, target: Target): Promise<AgentRun> {
  return inHome(startResponsesStub(call), async (stub, home) => {
    const codexHome = join(home, 'codex')
    await mkdir(codexHome)
    await writeFile(join(codexHome, 'config.toml'), codexConfig(stub.origin, target.url))
    const words = ['exec', '--skip-git-repo-check', '--sandbox', 'read-only', PROMPT]
    return runAgent([program, ...words], home, {
      CODEX_HOME: codexHome,
      STUB_KEY: 'none',
      GATEWAY_TOKEN: target.token,
    })
  })
}

function codexConfig(origin: string, url: string): string {
  return `model = "stub"
model_provider = "stub"
[model_providers.stub]
name = "stub"
base_url = "${origin}/v1"
env_key = "STUB_KEY"
wire_api = "responses"
[analytics]
enabled = false
[mcp_servers.${SERVER_NAME}]
url = "${url}"
bearer_token_env_var = "GATEWAY_TOKEN"
# Its first question waits for the server's tools.
required = true
startup_timeout_sec = 30
default_tools_approval_mode = "approve"
`
}

async function inHome(
  starting: Promise<Stub>,
  run: (stub: Stub, home: string) => Promise<string>,
): Promise<AgentRun> {
  const stub = await starting
  const home = await mkdtemp(join(tmpdir(), 'cedargate-agent-'))
  try {
    const printed = await run(stub, home)
    return { saw: stub.saw(), printed }
  } finally {
    await stub.close()
    await rm(home, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** All of its output. A run that takes longer than RUN_TIMEOUT_MS is ended with everything it started. */
function runAgent(
  words: readonly string[],
  home: string,
  env: Readonly<Record<string, string>>,
): Promise<string> {
  return new Promise((resolve) => {
    const own = { HOME: home, TMPDIR: home, PATH: process.env['PATH'] ?? '', ...env }
    const child = spawn(process.execPath, words, {
      cwd: home,
      env: own,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let printed = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        printed += text
      })
    const timer = setTimeout(() => {
      printed += `\nended after ${RUN_TIMEOUT_MS / 1000} s`
      endGroup(child.pid)
    }, RUN_TIMEOUT_MS)
    child.once('error', (error) => {
      printed += error.message
    })
    child.once('close', (code) => {
      clearTimeout(timer)
      endGroup(child.pid)
      resolve(`${printed}\nexit ${code}`)
    })
  })
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // Nobody is left in the group.
  }
}
