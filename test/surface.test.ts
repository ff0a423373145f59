// Owns the frozen surface: the words and numbers that clients, scripts and stored records rely on. A change here is a
// change for them: it belongs in CHANGELOG.md and in its own commit.
import { expect, test } from 'vitest'
import { EXIT, REFUSALS, RPC, VERDICT_CODES } from '../schemas/codes.ts'
import { TOKEN_PREFIXES } from '../schemas/identifiers.ts'
import { META, METHODS, senderOf } from '../schemas/mcp.ts'

test('verdict codes', () => {
  expect(VERDICT_CODES).toMatchInlineSnapshot(`
    [
      "permit",
      "forbid",
      "no_permit",
      "approval_required",
      "approval_invalid",
      "unknown_tool",
      "tool_changed",
      "unknown_method",
      "unknown_argument",
      "unrepresentable_argument",
      "invalid_request",
      "policy_error",
      "engine_fault",
      "meter_unavailable",
      "credential_unavailable",
      "key_unavailable",
      "clock_fault",
      "stale_bundle",
    ]
  `)
})

test('refusals of the PEP: HTTP status and JSON-RPC code', () => {
  const refusals = Object.entries(REFUSALS).map(
    ([name, { status, rpc }]) => `${name} ${status} ${rpc}`,
  )
  expect(refusals).toMatchInlineSnapshot(`
    [
      "malformed_json 400 -32700",
      "duplicate_key 400 -32700",
      "malformed_text 400 -32700",
      "number_not_exact 400 -32700",
      "too_deep 400 -32700",
      "too_many_values 400 -32700",
      "reserved_key 400 -32600",
      "batch_not_supported 400 -32600",
      "not_a_message 400 -32600",
      "missing_metadata 400 -32602",
      "missing_capability 400 -32021",
      "header_mismatch 400 -32020",
      "unsupported_version 400 -32022",
      "not_acceptable 406 -32600",
      "unauthenticated 401 -32600",
      "foreign_origin 403 -32600",
      "foreign_host 403 -32600",
      "server_not_granted 403 -32600",
      "unknown_server 404 -32600",
      "unknown_session 404 -32600",
      "unknown_task 200 -32602",
      "invalid_state 200 -32602",
      "method_not_allowed 405 -32600",
      "body_too_large 413 -32600",
      "wrong_content_type 415 -32600",
      "too_many_requests 429 -31002",
      "too_many_failures 429 -31002",
      "pdp_unavailable 503 -31002",
      "record_unavailable 503 -31002",
      "verdict_expired 503 -31002",
      "verdict_mismatch 503 -31002",
      "upstream_unavailable 502 -31002",
      "upstream_timeout 504 -31002",
      "upstream_invalid 502 -31002",
    ]
  `)
})

test('JSON-RPC codes', () => {
  expect(RPC).toMatchInlineSnapshot(`
    {
      "denied": -31001,
      "headerMismatch": -32020,
      "invalidParams": -32602,
      "invalidRequest": -32600,
      "methodNotFound": -32601,
      "missingCapability": -32021,
      "parseError": -32700,
      "unavailable": -31002,
      "unsupportedVersion": -32022,
    }
  `)
})

test('exit codes of the command line', () => {
  expect(EXIT).toMatchInlineSnapshot(`
    {
      "drift": 5,
      "internal": 1,
      "invalid": 3,
      "ok": 0,
      "testsFailed": 4,
      "unverified": 6,
      "usage": 2,
    }
  `)
})

test('methods: how each is decided, in which era, and whose it is', () => {
  const methods = [...METHODS].map(([name, rule]) => {
    const detail = 'filter' in rule ? `:${rule.filter}` : 'action' in rule ? `:${rule.action}` : ''
    const sender = senderOf(name) === 'server' ? ' of servers' : ''
    return `${name} ${rule.decide}${detail} ${rule.eras.join('+')}${sender}`
  })
  expect(methods).toMatchInlineSnapshot(`
    [
      "initialize connect legacy",
      "ping connect legacy",
      "logging/setLevel connect legacy",
      "server/discover connect modern",
      "tools/list connect:tools legacy+modern",
      "resources/list connect:resources legacy+modern",
      "resources/templates/list connect:resourceTemplates legacy+modern",
      "prompts/list connect:prompts legacy+modern",
      "tools/call tool legacy+modern",
      "resources/read item:resources/read legacy+modern",
      "resources/subscribe item:resources/read legacy",
      "resources/unsubscribe item:resources/read legacy",
      "prompts/get item:prompts/get legacy+modern",
      "completion/complete item:completion/complete legacy+modern",
      "sampling/createMessage item:sampling/createMessage legacy+modern of servers",
      "elicitation/create item:elicitation/create legacy+modern of servers",
      "roots/list item:roots/list legacy+modern of servers",
      "subscriptions/listen connect modern",
      "listen:resource item:resources/read modern",
      "tasks/get connect legacy+modern",
      "tasks/result connect legacy",
      "tasks/list held legacy",
      "tasks/cancel connect legacy+modern",
      "tasks/update connect modern",
      "notifications/initialized connect legacy",
      "notifications/cancelled connect legacy+modern",
      "notifications/progress connect legacy",
      "notifications/roots/list_changed connect legacy",
      "notifications/elicitation/complete connect legacy",
      "response connect legacy",
      "http:get connect legacy",
      "http:delete connect legacy",
    ]
  `)
})

test('names in messages and tokens', () => {
  expect({ META, TOKEN_PREFIXES }).toMatchInlineSnapshot(`
    {
      "META": {
        "clientCapabilities": "io.modelcontextprotocol/clientCapabilities",
        "clientInfo": "io.modelcontextprotocol/clientInfo",
        "decision": "dev.cedargate/decision",
        "protocolVersion": "io.modelcontextprotocol/protocolVersion",
        "relatedTask": "io.modelcontextprotocol/related-task",
        "serverInfo": "io.modelcontextprotocol/serverInfo",
        "subscriptionId": "io.modelcontextprotocol/subscriptionId",
      },
      "TOKEN_PREFIXES": {
        "bootstrap": "cgb",
        "grant": "cgt",
        "operator": "cgo",
        "pep": "cgp",
        "session": "cgs",
      },
    }
  `)
})
