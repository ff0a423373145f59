// Owns the words that say what a tool does. A change here changes what rules say: raise RULES_VERSION in classify.ts.
// Never a claim about one tool: a name may lie, and a reviewer decides.

/** What a call may do to the world, worst last; `unknown` is worse than a write, because nobody said it is none. */
export const EFFECTS = ['read', 'write', 'unknown', 'destructive', 'execute'] as const
export type Effect = (typeof EFFECTS)[number]

type Verbs = ReadonlyMap<string, Effect>

/** Words that are verbs wherever they stand in a name. */
export const VERBS: Verbs = table({
  read: `
    analyse analyze browse calculate compare compute count crawl describe detect diff discover download enumerate
    estimate examine explain explore export extract fetch find get glob grep identify inspect introspect list lookup
    measure navigate peek ping poll predict preview query read recommend resolve retrieve scan scrape search
    show stat suggest summarise summarize tail traverse validate verify view wait watch whoami`,
  write: `
    accept acknowledge activate add adjust allocate amend annotate append apply approve archive assign associate attach
    authorize backup begin bind bookmark bump checkin claim clone close complete configure connect convert copy create
    customize decline decrement define defer deny detach disable disassociate dismiss edit enable enqueue enroll ensure
    finish fill follow generate grant hide import increment init initialize insert invite join leave link make mark
    merge mkdir modify move mute mutate notify onboard open patch pause pin pop populate prepend promote provision
    publish push put reassign react record refactor regenerate register rename reopen reorder replicate reply
    reprioritize republish reschedule resize restart restore resubmit resume retry save seed send set sign snooze
    split stage star start stop store submit subscribe suspend swap sync synchronize toggle touch transfer transition
    trash tweet unarchive unassign undo unfollow unhide unlink unlock unmark unmute unpin unresolve unstar unsubscribe
    unsuspend update upgrade upload upsert write`,
  destructive: `
    cancel clean clear deactivate decommission del delete deprovision destroy discard drop empty erase evict expire
    expunge flush invalidate kill obliterate overwrite prune purge remove reset revert revoke rm rmdir rollback shred
    shutdown terminate truncate uninstall unpublish unregister void wipe withdraw`,
  execute: `
    eval evaluate exec execute invoke launch rerun run spawn`,
}) // biome-ignore format: words

/** Words that are verbs in some names and things in others (`create_comment`): they count where no other verb stands. */
export const NOUN_VERBS: Verbs = table({
  read: 'audit chart check echo filter graph head help index info look map monitor plot screenshot snapshot status test trace',
  write: `
    block book branch buy call capture charge checkout click comment commit cut drag email fork focus follow format
    form hover label lock log login logout mail message note order pay plan post press pull purchase rebase refund
    release report request review schedule select sell share stash tag text trade type`,
  destructive: 'ban force reject takeover',
  execute: 'automate batch build command cron deploy dispatch install interpret process script shell sudo task trigger',
}) // biome-ignore format: words

/** Verbs of descriptions that are not verbs in names (`return_item` is no read). */
export const PROSE_VERBS: Verbs = new Map([
  ['display', 'read'],
  ['return', 'read'],
])

/** Between two verbs of a name these mean that it does both. */
export const CONJUNCTIONS: ReadonlySet<string> = new Set(['and', 'or', 'then'])

/** The worst of them; `read` for none. */
export function worst(effects: readonly Effect[]): Effect {
  const rank = Math.max(0, ...effects.map((effect) => EFFECTS.indexOf(effect)))
  return EFFECTS[rank] ?? 'unknown'
}

/** Whether `left` is worse than `right`. */
export function isWorse(left: Effect, right: Effect): boolean {
  return EFFECTS.indexOf(left) > EFFECTS.indexOf(right)
}

/** Later effects win where a word stands twice, so the worst does. */
function table(words: Readonly<Record<Exclude<Effect, 'unknown'>, string>>): Verbs {
  const order = ['read', 'write', 'destructive', 'execute'] as const
  return new Map(
    order.flatMap((effect) =>
      words[effect]
        .trim()
        .split(/\s+/)
        .map((word) => [word, effect] as const),
    ),
  )
}
