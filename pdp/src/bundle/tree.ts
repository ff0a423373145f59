// Owns what a bundle is read from: names and bytes, by path, whether they lie in a directory or in a git commit. No I/O.

/** Paths are relative to the bundle, with `/`. Whatever is refused rejects with a message for people. */
export type BundleTree = {
  /** Rejects with MissingFile where there is none, and when it is larger than BUNDLE_FILE_BYTES_MAX. */
  readonly read: (path: string) => Promise<Uint8Array>
  /** What lies in a folder, in any order; empty when there is no such folder. */
  readonly names: (folder: string) => Promise<readonly string[]>
}

export class MissingFile extends Error {
  override readonly name = 'MissingFile'
  constructor() {
    super('the file is missing')
  }
}

export class FileTooLarge extends Error {
  override readonly name = 'FileTooLarge'
  constructor(bytesMax: number) {
    super(`the file is larger than ${bytesMax / 1024 / 1024} MiB`)
  }
}
