// Owns whether a commit was signed by one of those who may: git checks the signature, we say whose may count.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { GitOptions } from './git.ts'
import { git } from './git.ts'

/** Why `commit` is not signed by one of `signers` (as in gateway.yaml); undefined when it is. */
export async function signatureProblem(
  commit: string,
  signers: readonly string[],
  options: GitOptions,
): Promise<string | undefined> {
  const ssh = signers.filter((signer) => signer.includes(' '))
  const openpgp = new Set(signers.filter((signer) => !signer.includes(' ')))
  const allowed = join(options.repository, 'allowed-signers')
  await writeFile(allowed, ssh.map((key) => `* namespaces="git" ${key}\n`).join(''), {
    mode: 0o600,
  })
  const settings = ['-c', `gpg.ssh.allowedSignersFile=${allowed}`, '-c', 'gpg.x509.program=false']
  const verify = ['verify-commit', '--raw', commit]
  const { code, stderr } = await git([...settings, ...verify], options)
  if (code === 0 && isSignedByOne(stderr, ssh.length > 0, openpgp)) return undefined
  return `commit ${commit.slice(0, 12)} is not signed by one of the ${signers.length} keys of requireSignedBy`
}

/** A line of GnuPG's status names the key and its primary key; ssh-keygen knows the allowed keys alone. */
function isSignedByOne(said: string, ssh: boolean, openpgp: ReadonlySet<string>): boolean {
  const valid = [...said.matchAll(/^\[GNUPG:\] VALIDSIG (\S+)(?: .*)? (\S+)$/gm)]
  if (valid.length > 0) {
    return valid.some(([, key = '', primary = '']) => openpgp.has(key) || openpgp.has(primary))
  }
  return ssh && !/^\[GNUPG:\]/m.test(said) && /^Good "git" signature for \* with /m.test(said)
}
