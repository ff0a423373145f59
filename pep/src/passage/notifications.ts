// Owns which notifications of a server reach a client. One that is not named here says what nobody here understands,
// to a client that may.

export const TOOLS_CHANGED = 'notifications/tools/list_changed'
export const ACKNOWLEDGED = 'notifications/subscriptions/acknowledged'

export const RESOURCE_UPDATED = 'notifications/resources/updated'

const TASK_STATE_METHODS = ['notifications/tasks', 'notifications/tasks/status']
/** Whole states of tasks: of 2026-07-28 and of 2025-11-25. */
export const TASK_STATES: ReadonlySet<unknown> = new Set(TASK_STATE_METHODS)

/** Of both eras. */
export const NOTIFICATIONS: ReadonlySet<string> = new Set([
  TOOLS_CHANGED,
  ACKNOWLEDGED,
  'notifications/cancelled',
  'notifications/elicitation/complete',
  'notifications/message',
  'notifications/progress',
  'notifications/prompts/list_changed',
  'notifications/resources/list_changed',
  RESOURCE_UPDATED,
  ...TASK_STATE_METHODS,
])
