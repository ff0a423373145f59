// Owns the words that say what a tool handles: things in its name, and arguments that carry code, people or places.
// A change here changes what rules say: raise RULES_VERSION in classify.ts.

/** What a tool touches, beside its effect. */
export const FLAGS = [
  'money',
  'code-exec',
  'comms-out',
  'credential',
  'identity-admin',
  'open-world',
  'bulk',
  'pii',
] as const
export type Flag = (typeof FLAGS)[number]

/** `whenChanging`: a tool that only reads does not have it (`list_messages` sends nothing). */
type Noun = { readonly flag: Flag; readonly whenChanging: boolean }

/** By word of the name, singular. Two words are written with a space. */
export const NOUNS: ReadonlyMap<string, Noun> = new Map([
  ...nouns('money', false, 'balance bank billing card charge checkout coin credit crypto invoice order payment payout payroll price purchase quote refund stock subscription swap trade transaction transfer wallet withdrawal'),
  ...nouns('credential', false, 'certificate credential password passphrase secret token vault', ['api key', 'access key', 'private key', 'ssh key', 'env']),
  ...nouns('identity-admin', true, 'access account acl admin collaborator group member membership org organization permission policy role team tenant user'),
  ...nouns('comms-out', true, 'announcement broadcast comment contact discussion email mail message notification post reply review sms tweet webhook'),
  ...nouns('bulk', false, 'all batch bulk every everything many mass multiple'),
  ...nouns('pii', false, 'address contact customer employee patient person phone profile ssn'),
  ...nouns('open-world', false, 'browser internet url web webpage website'),
]) // biome-ignore format: one flag a line

/** Verbs that reach people or the world outside. */
export const VERB_FLAGS: ReadonlyMap<string, Flag> = new Map([
  ...['email', 'invite', 'mail', 'notify', 'post', 'publish', 'reply', 'send', 'share', 'text', 'tweet'].map((word) => [word, 'comms-out'] as const),
  ...['browse', 'crawl', 'navigate', 'scrape'].map((word) => [word, 'open-world'] as const),
  ...['buy', 'charge', 'pay', 'purchase', 'refund', 'sell', 'trade', 'withdraw'].map((word) => [word, 'money'] as const),
  ...['authorize', 'enroll', 'grant', 'revoke'].map((word) => [word, 'identity-admin'] as const),
]) // biome-ignore format: one flag a line

/** String arguments that hold a program, whatever the tool is called. */
export const CODE_ARGUMENTS: ReadonlySet<string> = new Set([
  'bash', 'cmd', 'command', 'command line', 'commands', 'cypher', 'javascript', 'js', 'python', 'script', 'shell',
  'shell command', 'source code', 'sql', 'sql query', 'statement', 'statements',
]) // biome-ignore format: a list

/** String arguments that hold a program only where name or description speak of one. */
export const PERHAPS_CODE_ARGUMENTS: ReadonlySet<string> = new Set([
  'code', 'expression', 'function', 'input', 'pipeline', 'program', 'query',
]) // biome-ignore format: a list
export const CODE_WORDS: ReadonlySet<string> = new Set([
  'bash', 'cypher', 'eval', 'graphql', 'javascript', 'php', 'powershell', 'python', 'ruby', 'shell', 'sparql', 'sql', 'typescript',
]) // biome-ignore format: a list

/** Arguments that choose what a consolidated tool does; the second group only where most values are verbs. */
export const OPERATION_ARGUMENTS: ReadonlySet<string> = new Set([
  'action',
  'method',
  'op',
  'operation',
  'verb',
])
export const PERHAPS_OPERATION_ARGUMENTS: ReadonlySet<string> = new Set([
  'command',
  'kind',
  'mode',
  'subcommand',
  'task',
  'type',
])

/** Boolean arguments that make a write irreversible. */
export const FORCING_ARGUMENTS: ReadonlySet<string> = new Set([
  'confirm', 'confirmed', 'force', 'hard', 'overwrite', 'permanent', 'permanently', 'purge',
]) // biome-ignore format: a list
/** Boolean arguments that make one call reach many things. */
export const BULK_ARGUMENTS: ReadonlySet<string> = new Set(['all', 'cascade', 'recursive'])

/** Arguments that name people or places outside. */
export const ARGUMENT_FLAGS: ReadonlyMap<string, Noun> = new Map([
  ...nouns('comms-out', true, 'bcc cc email emails recipient recipients to webhook', ['webhook url', 'to email', 'callback url']),
  ...nouns('open-world', false, 'endpoint host hostname uri url urls website'),
  ...nouns('money', true, 'amount currency price'),
  ...nouns('credential', false, 'credential password passphrase secret token', ['api key', 'access token']),
]) // biome-ignore format: one flag a line

function nouns(
  flag: Flag,
  whenChanging: boolean,
  words: string,
  more: readonly string[] = [],
): [string, Noun][] {
  return [...words.split(' '), ...more].map((word) => [word, { flag, whenChanging }])
}
