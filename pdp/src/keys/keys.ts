// Owns the two long-lived secrets of a deployment, as files: what signs instance keys, and what
// encrypts personal data. Never makes one by itself: a deployment that lost its keys must not
// quietly get new ones.
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto'
import { mkdir, open, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createVault, DATA_KEY_BYTES, type Vault } from './vault.ts'

const DEPLOYMENT_FILE = 'deployment.pem'
const DATA_FILE = 'data.key'

/**
 * A key that is missing, malformed, readable by others, or in the way of a new one; the message
 * names the file.
 */
export class KeysError extends Error {
  override readonly name = 'KeysError'
}

/** Signs instance keys. A port: a KMS can stand behind it. */
export type DeploymentKey = {
  readonly id: string
  /** Raw Ed25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array
  readonly sign: (message: Uint8Array) => Promise<Uint8Array>
}

export type Keys = { readonly deployment: DeploymentKey; readonly vault: Vault }

/**
 * Makes `deployment.pem` (Ed25519, PKCS #8) and `data.key` (32 random bytes, base64) in
 * `directory`, both mode 0600. Throws when either is there already, and then changes nothing.
 */
export async function createKeys(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const { privateKey } = generateKeyPairSync('ed25519')
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  const dataKey = `${randomBytes(DATA_KEY_BYTES).toString('base64')}\n`
  const deploymentPath = join(directory, DEPLOYMENT_FILE)
  await writeNew(deploymentPath, pem)
  // Order: a crash here leaves one key of two, which loadKeys refuses; the files have decided
  // nothing yet.
  await writeNew(join(directory, DATA_FILE), dataKey).catch(async (error: unknown) => {
    await rm(deploymentPath)
    throw error
  })
}

/** Reads both keys. Throws when one is missing, malformed, or readable by anybody but its owner. */
export async function loadKeys(directory: string): Promise<Keys> {
  const pem = await readSecret(join(directory, DEPLOYMENT_FILE))
  const dataKey = await readSecret(join(directory, DATA_FILE))
  return {
    deployment: deploymentKey(pem, join(directory, DEPLOYMENT_FILE)),
    vault: createVault(parseDataKey(dataKey, join(directory, DATA_FILE))),
  }
}

/** Key id: the first 16 hex digits of the SHA-256 of the raw public key. */
export function keyIdOf(publicKey: Uint8Array): string {
  return createHash('sha256').update(publicKey).digest('hex').slice(0, 16)
}

/** The 32 bytes of an Ed25519 public key. */
export function rawPublicKey(key: KeyObject): Buffer {
  return Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url')
}

function deploymentKey(pem: string, path: string): DeploymentKey {
  let privateKey: KeyObject
  try {
    privateKey = createPrivateKey(pem)
  } catch (cause) {
    throw new KeysError(`${path} is not a private key in PEM form`, { cause })
  }
  if (privateKey.asymmetricKeyType !== 'ed25519')
    throw new KeysError(`${path} is not an Ed25519 key`)
  const publicKey = rawPublicKey(createPublicKey(privateKey))
  return {
    id: keyIdOf(publicKey),
    publicKey,
    sign: async (message) => sign(null, message, privateKey),
  }
}

function parseDataKey(text: string, path: string): Uint8Array {
  const bytes = Buffer.from(text.trim(), 'base64')
  if (bytes.length !== DATA_KEY_BYTES || bytes.toString('base64') !== text.trim()) {
    throw new KeysError(`${path} is not ${DATA_KEY_BYTES} bytes in base64`)
  }
  return bytes
}

async function writeNew(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600).catch((cause: unknown) => {
    const exists = (cause as { code?: unknown } | null)?.code === 'EEXIST'
    throw exists ? new KeysError(`${path} exists; keys are never overwritten`, { cause }) : cause
  })
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function readSecret(path: string): Promise<string> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new KeysError(`cannot read ${path}; make keys with \`cedargate keys create\``, { cause })
  })
  if ((found.mode & 0o077) !== 0) {
    const mode = (found.mode & 0o777).toString(8).padStart(4, '0')
    throw new KeysError(`${path} has mode ${mode}, others can read it; run \`chmod 600 ${path}\``)
  }
  return readFile(path, 'utf8')
}
