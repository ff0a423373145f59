// Owns the order of what changed of who may call, so that nothing read before a change is used after it. Memory only:
// change-feed.ts hears of changes.

/** Something that a remembered answer was read from: `grant`, `user`, `agent` or `pep`, and its id. */
export type Origin = { readonly kind: string; readonly id: string }

export type Changes = {
  /** Where we are in the order of changes. Ask before reading: what is read then is at least as new. */
  readonly position: () => number
  /** Whether one of them may have changed since that position. */
  readonly isChanged: (origins: readonly Origin[], since: number) => boolean
  readonly note: (changed: readonly Origin[]) => void
  /** Everything may have changed. */
  readonly forget: () => void
}

/** Remembers the last change of `changesMax` things; beyond, all of it at once counts as changed. */
export function rememberChanges(changesMax: number): Changes {
  const kinds = new Map<string, Map<string, number>>()
  let position = 0
  let floor = 0
  let size = 0
  const forget = (): void => {
    position += 1
    floor = position
    size = 0
    kinds.clear()
  }
  return {
    position: () => position,
    isChanged(origins, since) {
      if (since < floor) return true
      return origins.some(({ kind, id }) => (kinds.get(kind)?.get(id) ?? 0) > since)
    },
    note(changed) {
      if (changed.length === 0) return
      position += 1
      for (const { kind, id } of changed) {
        const of = kinds.get(kind) ?? new Map<string, number>()
        kinds.set(kind, of)
        if (!of.has(id)) size += 1
        of.set(id, position)
      }
      if (size > changesMax) forget()
    },
    forget,
  }
}
