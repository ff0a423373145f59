// Owns the wasm file: where it lies, its digest, its compiled module. One compilation per process, shared by threads.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

// What we use of the global that TypeScript knows from the DOM library only.
declare global {
  namespace WebAssembly {
    const RuntimeError: ErrorConstructor
    function compile(bytes: Uint8Array): Promise<Module>
  }
}

const FILE = 'cedar_wasm_bg.wasm'

export type CedarWasm = {
  readonly module: WebAssembly.Module
  /** Lower-case hex SHA-256 of the file's bytes. */
  readonly sha256: string
}

let loaded: Promise<CedarWasm> | undefined

/** Reads and compiles the wasm file, once. Throws when it is not there. */
export function loadCedarWasm(): Promise<CedarWasm> {
  loaded ??= load()
  return loaded
}

async function load(): Promise<CedarWasm> {
  const bytes = await readFile(wasmPath())
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return { module: await WebAssembly.compile(bytes), sha256 }
}

/** Beside this code when it was bundled with it, else in the package; every build of the package has the same file. */
function wasmPath(): string {
  const beside = fileURLToPath(new URL(FILE, import.meta.url))
  if (existsSync(beside)) return beside
  const entry = createRequire(import.meta.url).resolve('@cedar-policy/cedar-wasm/nodejs')
  return join(dirname(entry), FILE)
}
