// Owns ending what was started, in reverse. Never starts anything.

export type Ending = () => Promise<void>

/** The last one first, and all, also when one fails: what is left running would keep the process. Throws the first failure. */
export async function endAll(endings: Ending[]): Promise<void> {
  const failures: unknown[] = []
  for (const end of endings.splice(0).toReversed()) {
    await end().catch((error: unknown) => {
      failures.push(error)
    })
  }
  if (failures.length > 0) throw failures[0]
}

/** What `open` resolves to. Where it rejects, all that it added to the endings has ended, and the reason is its own. */
export async function openOrEnd<Opened>(
  endings: Ending[],
  open: () => Promise<Opened>,
): Promise<Opened> {
  try {
    return await open()
  } catch (error) {
    await endAll(endings).catch(() => {}) // Why it could not be opened comes first.
    throw error
  }
}
