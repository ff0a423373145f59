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
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CREDENTIAL_KEYS_FILE,
  CREDENTIAL_KEYS_SETTING,
  type Kek,
  newKeyLine,
  parseKeks,
  readKekFile,
} from './key-file.ts'
import { KeysError, readSecret, writeNew } from './secret-file.ts'
import { createVault, DATA_KEY_BYTES, type Vault } from './vault.ts'

const DEPLOYMENT_FILE = 'deployment.pem'
const DATA_FILE = 'data.key'

/** Signs instance keys. A port: a KMS can stand behind it. */
export type DeploymentKey = {
  readonly id: string
  /** Raw Ed25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array
  readonly sign: (message: Uint8Array) => Promise<Uint8Array>
}

/** Where the key-encryption keys of credentials come from, for people; and reading them. Undefined: there are none. */
export type KekSource = {
  readonly source: string
  readonly read: () => Promise<readonly Kek[] | undefined>
}

export type Keys = {
  readonly deployment: DeploymentKey
  readonly vault: Vault
  readonly keks: KekSource
}

/**
 * Makes `deployment.pem` (Ed25519, PKCS #8), `data.key` (32 random bytes, base64) and `credentials.key` (the same, see
 * key-file.ts) in `directory`, all mode 0600. Throws when one of them is there already, and then changes nothing.
 */
export async function createKeys(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const { privateKey } = generateKeyPairSync('ed25519')
  const files: [string, string][] = [
    [DEPLOYMENT_FILE, privateKey.export({ type: 'pkcs8', format: 'pem' }) as string],
    [DATA_FILE, `${randomBytes(DATA_KEY_BYTES).toString('base64')}\n`],
    [CREDENTIAL_KEYS_FILE, newKeyLine()],
  ]
  const made: string[] = []
  // Order: a crash between two leaves some of the keys, which loadKeys refuses; they have decided nothing yet.
  for (const [name, text] of files) {
    const path = join(directory, name)
    await writeNew(path, text).catch(async (error: unknown) => {
      await Promise.all(made.map((one) => rm(one)))
      throw error
    })
    made.push(path)
  }
}

/**
 * Reads the keys. Throws when one is missing, malformed, or readable by anybody but its owner. Of credentials there may
 * be none yet: `credentialKeys` (CEDARGATE_CREDENTIAL_KEYS) has them, or else the file, which is read again when asked.
 */
export async function loadKeys(directory: string, credentialKeys?: string): Promise<Keys> {
  const pem = await readSecret(join(directory, DEPLOYMENT_FILE))
  const dataKey = await readSecret(join(directory, DATA_FILE))
  return {
    deployment: deploymentKey(pem, join(directory, DEPLOYMENT_FILE)),
    vault: createVault(parseDataKey(dataKey, join(directory, DATA_FILE))),
    keks: kekSource(directory, credentialKeys),
  }
}

function kekSource(directory: string, given: string | undefined): KekSource {
  if (given === undefined) {
    return {
      source: join(directory, CREDENTIAL_KEYS_FILE),
      read: () => readKekFile(directory),
    }
  }
  const source = CREDENTIAL_KEYS_SETTING
  const keks = parseKeks(given, source)
  return { source, read: async () => keks }
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
