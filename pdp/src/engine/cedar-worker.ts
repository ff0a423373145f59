// Owns the worker thread: one message in, one answer out, in order. The entry file of the thread, never imported.
import { parentPort, workerData } from 'node:worker_threads'
import {
  activate,
  cedarVersion,
  checkEntities,
  checkSchemas,
  evaluate,
  formatTexts,
  parsePolicies,
  parseSchemas,
  printPolicies,
  startCedar,
  validatePolicies,
  writeSchema,
} from './cedar.ts'
import type { WorkerAnswer, WorkerMessage, WorkerStart } from './messages.ts'

startCedar((workerData as WorkerStart).module)

parentPort?.on('message', (message: WorkerMessage) => {
  parentPort?.postMessage(answer(message), [])
})

function answer(message: WorkerMessage): WorkerAnswer {
  try {
    return answerUnguarded(message)
  } catch (error) {
    return { kind: 'failed', message: error instanceof Error ? error.message : String(error) }
  }
}

function answerUnguarded(message: WorkerMessage): WorkerAnswer {
  switch (message.kind) {
    case 'identify':
      return { kind: 'identified', version: cedarVersion() }
    case 'activate':
      activate(message.generation)
      return { kind: 'activated' }
    case 'evaluate':
      return evaluate(message.calls)
    case 'parse':
      return { kind: 'parsed', policies: parsePolicies(message.texts) }
    case 'print':
      return { kind: 'printed', texts: printPolicies(message.policies) }
    case 'check':
      return { kind: 'checked', problems: checkSchemas(message.schemas) }
    case 'schemas':
      return { kind: 'schemas', schemas: parseSchemas(message.texts) }
    case 'entities':
      return { kind: 'entities', problems: checkEntities(message.schema, message.texts) }
    case 'format':
      return { kind: 'formatted', texts: formatTexts(message.texts) }
    case 'writeSchema':
      return { kind: 'schemaWritten', text: writeSchema(message.schema) }
    default:
      return { kind: 'validated', problems: validatePolicies(message.schema, message.policies) }
  }
}
