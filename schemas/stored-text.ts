// Owns which texts the databases keep: PostgreSQL refuses NUL, and half a character has no UTF-8.
import { z } from 'zod'

/** Whether it is well-formed Unicode without NUL. What it is not, no row holds. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}

/** A text from outside that is written to a database or looked for in one. Sets no limit to its length. */
export const storedText = z
  .string()
  .refine(isStorable, { error: 'a text holds a NUL or half a character' })
