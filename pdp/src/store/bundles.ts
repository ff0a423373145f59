// Owns keeping every bundle a decision may name, whole, for as long as a decision names it.
import { bundle } from '../../../schemas/database/tables.ts'
import type { Store } from './open.ts'

/** Stores the canonical content under its id; a bundle that is there already is left as it is. `now` in milliseconds. */
export async function keepBundle(
  { db }: Pick<Store, 'db'>,
  { id, content }: { readonly id: string; readonly content: string },
  now: number,
): Promise<void> {
  await db.insert(bundle).values({ id, content, firstActive: new Date(now) }).onConflictDoNothing()
}
