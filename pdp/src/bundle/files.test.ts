// What a bundle may hold all together. The rest of reading is in load.test.ts, with real folders.
import { expect, test } from 'vitest'
import { BUNDLE_BYTES_MAX, BUNDLE_FILE_BYTES_MAX } from '../../../schemas/limits.ts'
import { readBundleFiles } from './files.ts'
import { BundleError, findingLine } from './findings.ts'
import type { BundleTree } from './tree.ts'

/** So many policy files of the largest size, and a gateway.yaml of `gateway` bytes. */
function tree(files: number, gateway: number): BundleTree {
  const large = new Uint8Array(BUNDLE_FILE_BYTES_MAX).fill(0x20)
  return {
    read: async (path) => (path === 'gateway.yaml' ? new Uint8Array(gateway).fill(0x20) : large),
    names: async (folder) =>
      folder === 'cedar' ? Array.from({ length: files }, (_, index) => `${index}.cedar`) : [],
  }
}

const FILES = BUNDLE_BYTES_MAX / BUNDLE_FILE_BYTES_MAX

test('a bundle of the largest size is read', async () => {
  const { policies } = await readBundleFiles(tree(FILES, 0))
  expect(policies).toHaveLength(FILES)
})

test('one byte more is too much', async () => {
  const error = await readBundleFiles(tree(FILES, 1)).catch((found: unknown) => found)
  expect((error as BundleError).findings.map(findingLine)).toEqual([
    expect.stringMatching(/^cedar\/\d+\.cedar:1:1: the bundle is larger than 64 MiB$/),
  ])
})
