// Owns what one difference between two runs is, told so that a person can act on it.

export type Difference = {
  readonly scenario: string
  /** Which check, or which exchange on which side. */
  readonly where: string
  readonly direct: string
  readonly through: string
}
