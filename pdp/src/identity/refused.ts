// Owns the error of an operator's order that cannot be carried out. Its message says why, and what to do instead.

export class Refused extends Error {
  override readonly name = 'Refused'
}
