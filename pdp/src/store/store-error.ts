// Owns the error of a database that cannot be used as it is: told in one line that names the
// setting and the fix.

/**
 * Something a person can mend: the address, the rights, the release, who else uses it. Never names
 * a password.
 */
export class StoreError extends Error {
  override readonly name = 'StoreError'
}
