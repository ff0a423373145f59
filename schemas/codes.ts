// Owns the closed sets of words a caller can branch on: verdict codes, the PEP's own refusals, CLI exit codes.
// Frozen by test/surface.test.ts.

/** Why a decision came out as it did (DESIGN §7). `permit` is the only code of an allow. */
export const VERDICT_CODES = [
  'permit',
  'forbid',
  'no_permit',
  'approval_required',
  'approval_invalid',
  'unknown_tool',
  'tool_changed',
  'unknown_method',
  'unknown_argument',
  'unrepresentable_argument',
  'invalid_request',
  'policy_error',
  'engine_fault',
  'meter_unavailable',
  'credential_unavailable',
  'key_unavailable',
  'clock_fault',
  'stale_bundle',
] as const
export type VerdictCode = (typeof VERDICT_CODES)[number]

/** JSON-RPC 2.0 and MCP 2026-07-28 error codes this gateway answers with. -31xxx are ours: outside every reserved range. */
export const RPC = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  headerMismatch: -32020,
  missingCapability: -32021,
  unsupportedVersion: -32022,
  denied: -31001,
  unavailable: -31002,
} as const

export type Fault = 'caller' | 'gateway' | 'upstream'

/**
 * What the PEP refuses by itself. These are not decisions: they are logged and counted, never recorded.
 * `status` is the HTTP status before a call is established; a refusal of an established `tools/call` is always the
 * 200 `isError` form (DESIGN §7), whatever `status` says.
 */
export const REFUSALS = {
  malformed_json: { fault: 'caller', status: 400, rpc: RPC.parseError },
  duplicate_key: { fault: 'caller', status: 400, rpc: RPC.parseError },
  malformed_text: { fault: 'caller', status: 400, rpc: RPC.parseError },
  number_not_exact: { fault: 'caller', status: 400, rpc: RPC.parseError },
  too_deep: { fault: 'caller', status: 400, rpc: RPC.parseError },
  too_many_values: { fault: 'caller', status: 400, rpc: RPC.parseError },
  reserved_key: { fault: 'caller', status: 400, rpc: RPC.invalidRequest },
  batch_not_supported: { fault: 'caller', status: 400, rpc: RPC.invalidRequest },
  not_a_message: { fault: 'caller', status: 400, rpc: RPC.invalidRequest },
  missing_metadata: { fault: 'caller', status: 400, rpc: RPC.invalidParams },
  missing_capability: { fault: 'caller', status: 400, rpc: RPC.missingCapability },
  header_mismatch: { fault: 'caller', status: 400, rpc: RPC.headerMismatch },
  unsupported_version: { fault: 'caller', status: 400, rpc: RPC.unsupportedVersion },
  not_acceptable: { fault: 'caller', status: 406, rpc: RPC.invalidRequest },
  unauthenticated: { fault: 'caller', status: 401, rpc: RPC.invalidRequest },
  foreign_origin: { fault: 'caller', status: 403, rpc: RPC.invalidRequest },
  foreign_host: { fault: 'caller', status: 403, rpc: RPC.invalidRequest },
  server_not_granted: { fault: 'caller', status: 403, rpc: RPC.invalidRequest },
  unknown_server: { fault: 'caller', status: 404, rpc: RPC.invalidRequest },
  unknown_session: { fault: 'caller', status: 404, rpc: RPC.invalidRequest },
  unknown_task: { fault: 'caller', status: 200, rpc: RPC.invalidParams },
  invalid_state: { fault: 'caller', status: 200, rpc: RPC.invalidParams },
  method_not_allowed: { fault: 'caller', status: 405, rpc: RPC.invalidRequest },
  body_too_large: { fault: 'caller', status: 413, rpc: RPC.invalidRequest },
  wrong_content_type: { fault: 'caller', status: 415, rpc: RPC.invalidRequest },
  too_many_requests: { fault: 'caller', status: 429, rpc: RPC.unavailable },
  too_many_failures: { fault: 'caller', status: 429, rpc: RPC.unavailable },
  pdp_unavailable: { fault: 'gateway', status: 503, rpc: RPC.unavailable },
  record_unavailable: { fault: 'gateway', status: 503, rpc: RPC.unavailable },
  verdict_expired: { fault: 'gateway', status: 503, rpc: RPC.unavailable },
  verdict_mismatch: { fault: 'gateway', status: 503, rpc: RPC.unavailable },
  upstream_unavailable: { fault: 'upstream', status: 502, rpc: RPC.unavailable },
  upstream_timeout: { fault: 'upstream', status: 504, rpc: RPC.unavailable },
  upstream_invalid: { fault: 'upstream', status: 502, rpc: RPC.unavailable },
} as const satisfies Record<string, { fault: Fault; status: number; rpc: number }>
export type RefusalCode = keyof typeof REFUSALS

/** CLI exit codes, everywhere (DESIGN §7). */
export const EXIT = {
  ok: 0,
  internal: 1,
  usage: 2,
  invalid: 3,
  testsFailed: 4,
  drift: 5,
  unverified: 6,
} as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]
