// Owns copies of the example bundle, for tests that change it.
import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EXAMPLE_BUNDLE } from '../harness/pdp.ts'

export type Edit = { readonly file: string; readonly from: string; readonly to: string }

/** A copy with every edit made; whoever asked removes it. Throws when there is nothing to edit. */
export async function copyBundle(edits: readonly Edit[] = []): Promise<string> {
  const bundle = await mkdtemp(join(tmpdir(), 'cedargate-bundle-'))
  await cp(EXAMPLE_BUNDLE, bundle, { recursive: true })
  for (const { file, from, to } of edits) {
    const path = join(bundle, file)
    const text = await readFile(path, 'utf8')
    if (!text.includes(from)) throw new Error(`${file} does not hold ${from}`)
    await writeFile(path, text.replaceAll(from, to))
  }
  return bundle
}
