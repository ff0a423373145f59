// Owns the error of a credential that is there and cannot be used. Its message is for operators, and holds no secret.

export class CredentialFault extends Error {
  override readonly name = 'CredentialFault'
}
