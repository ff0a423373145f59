// Owns every limit of the gateway: one name, one value, one place. Each is tested at its edge.

/** Bytes of one client message (facts: the MCP SDKs' own cap). */
export const BODY_BYTES_MAX = 4 * 1024 * 1024
/** Levels of nesting in any JSON the gateway reads; cedar-wasm loses stack for good beyond ~125. */
export const JSON_DEPTH_MAX = 32
/** Keys and values in any JSON the gateway reads: 200,000 keys in 4 MiB hold up everybody else for a second (measured). */
export const JSON_TOKENS_MAX = 65_536
/** Bytes of mapped arguments given to Cedar, as JSON. */
export const MAPPED_ARGS_BYTES_MAX = 64 * 1024
/** Elements of one Cedar set made from arguments. */
export const SET_ELEMENTS_MAX = 256
/** Levels of nested records in mapped arguments. */
export const RECORD_DEPTH_MAX = 6
/**
 * Schemas looked at in one tool definition, each `$ref` expanded where it stands; what comes after them is opaque.
 * The largest of 321 real definitions has 72; a call of a tool with 4,096 costs Cedar 12 ms (measured).
 */
export const SCHEMA_NODES_MAX = 1_024
/** Calls in one `decide` request, and rows in one record write. */
export const DECIDE_CALLS_MAX = 64
export const RECORD_ROWS_MAX = 256
/** Callers in one `list` request of a PEP. */
export const LIST_CALLERS_MAX = 64
/**
 * Characters of all texts of one elicitation that are looked at, and of one after normalisation; a longer one counts as
 * asking for a secret. So many take about 10 ms (measured), whatever they are.
 */
export const SECRET_TEXT_LENGTH_MAX = 16 * 1024
/** How long one key binds. It is accepted for as long again: what is bound lasts 30 to 60 days. */
export const BINDING_EPOCH_MS = 30 * 24 * 60 * 60_000
/** How old the binding keys of a PEP may be before it asks again; a key is accepted for at least as long after its last use. */
export const BINDING_KEYS_MS = 60 * 60_000
/** Age at which an allow may no longer be forwarded, measured by the PEP from the moment it asked. */
export const VERDICT_AGE_MS_MAX = 2_000
/** How long the PEP waits for a verdict, and for a commit. */
export const DECIDE_TIMEOUT_MS = 1_500
export const RECORD_TIMEOUT_MS = 2_000
/**
 * How long after the start of its last successful look at revocations a PDP may use what it remembers of grants; and how
 * often it looks. A revocation that has returned is in force everywhere within GRANT_AGE_MS_MAX and what a decision takes.
 */
export const GRANT_AGE_MS_MAX = 900
export const REVOCATION_POLL_MS = 250
/** How far the clocks of a PDP and its database may be apart; beyond it the PDP denies with `clock_fault`. */
export const CLOCK_SKEW_MS_MAX = 5_000
/** Grants a PDP remembers; and what changed of them, of users, agents and PEPs. */
export const GRANTS_REMEMBERED_MAX = 131_072
export const CHANGES_REMEMBERED_MAX = 131_072
/** How long a PDP waits for the database to say who may call. */
export const IDENTITY_TIMEOUT_MS = 1_000
/** How long at least rows of `identity_change` are kept; a PDP that was away for half of it forgets what it remembered. */
export const IDENTITY_CHANGE_KEPT_MS = 60 * 60_000
/** Notifications of so long are answered by one look. */
export const LISTEN_PAUSE_MS = 10
/** What changed so long before a PEP connected is told to it again. */
export const EVENTS_LOOKBACK_MS = 60_000
/** How often at most the last use of a grant is written. */
export const LAST_USED_MS = 60_000
/** Characters of a bearer token, a JWT among them. */
export const TOKEN_LENGTH_MAX = 8 * 1024
/** By how much a clock of the identity provider may differ from ours when a JWT is judged. */
export const JWT_TOLERANCE_SECONDS = 30
/** How long keys of an identity provider are used, and how soon an unknown key id makes us look again. */
export const JWKS_AGE_MS_MAX = 10 * 60_000
export const JWKS_COOLDOWN_MS = 10_000
export const JWKS_TIMEOUT_MS = 2_000
/** Of a discovery document or a key set. */
export const JWKS_BYTES_MAX = 256 * 1024
/** Verified access tokens a PDP remembers, so that a signature is checked once. */
export const TOKENS_REMEMBERED_MAX = 16_384
/** An ID token is good for signing in so long after it was issued, and once. */
export const ID_TOKEN_AGE_MS_MAX = 10 * 60_000
/** How long an operator stays signed in, and how long the bootstrap token waits for its one use. */
export const SESSION_LIFETIME_MS = 8 * 60 * 60_000
export const BOOTSTRAP_LIFETIME_MS = 24 * 60 * 60_000
/** How long `cedargate login` waits for the person in the browser. */
export const SIGN_IN_WAIT_MS = 10 * 60_000
/** Requests of one source that may fail to authenticate in this time; those beyond are answered 429. IPv6: a /64 is one source. */
export const AUTH_FAILURES_MAX = 60
export const AUTH_FAILURES_MS = 60_000
/** Rows of one page of grants or users. */
export const ROWS_PAGE_MAX = 1_000
/** A leaf of the log (ledger §5.3). The format's own limit is 65,535. */
export const LEAF_BYTES_MAX = 16 * 1024
/** Questions in one AuthZEN batch. */
export const AUTHZEN_EVALUATIONS_MAX = 256
/** Candidates of an AuthZEN search that are decided at a time, so that calls come in between. */
export const AUTHZEN_SEARCH_CHUNK = 64
/** Throws after which a Cedar worker is replaced; ~1,500 kill a wasm instance for good. */
export const ENGINE_THROWS_MAX = 100
/** One Cedar evaluation batch; a worker that is silent for longer is replaced. */
export const ENGINE_TIMEOUT_MS = 1_000
/** Characters of any identifier we coin or accept: user, agent, team, server. */
export const ID_LENGTH_MAX = 128
/** Characters of all messages in one `decide` request, unless it holds a single call; and bytes of its body. */
export const DECIDE_MESSAGES_LENGTH_MAX = 8 * 1024 * 1024
export const DECIDE_BODY_BYTES_MAX = 64 * 1024 * 1024
/** Bytes of a body on `/access/v1` and `/admin/v1`. */
export const API_BODY_BYTES_MAX = 1024 * 1024
/** How long a grant may live, and how long it lives when nobody says. */
export const GRANT_LIFETIME_MS_MAX = 366 * 24 * 60 * 60 * 1000
export const GRANT_LIFETIME_DEFAULT = '90d'
/** Rows of one page of decisions. */
export const DECISIONS_PAGE_MAX = 1_000
/** Of those, how many are read and decrypted at a time: each may hold a whole message. */
export const DECISIONS_CHUNK_ROWS = 32
/** Characters of the arguments of one decision in a list; longer ones are only in the decision itself. */
export const LISTED_ARGUMENTS_LENGTH_MAX = 16 * 1024
/** Bytes of one file of a bundle, and how many policies and servers one may hold. */
export const BUNDLE_FILE_BYTES_MAX = 4 * 1024 * 1024
/** Levels of one policy in Cedar's JSON form; Cedar itself gives up on about 150 parentheses. */
export const POLICY_DEPTH_MAX = 512
/** Bytes of all files of a bundle together. */
export const BUNDLE_BYTES_MAX = 64 * 1024 * 1024
export const BUNDLE_POLICIES_MAX = 10_000
export const BUNDLE_SERVERS_MAX = 1_000
/** Tools in one list: a server that lists more is not looked at; and with those listed in two ways. */
export const TOOLS_MAX = 4_096
export const DEFINITIONS_MAX = 2 * TOOLS_MAX
/** Characters of the name of a tool that can be reviewed. */
export const TOOL_NAME_LENGTH_MAX = 256
/** Bytes of a definition that is kept whole; of a longer one the fingerprint is kept. */
export const DEFINITION_BYTES_MAX = 256 * 1024
/** Definitions of one server that are kept; what it shows beyond them is held like the rest, and not kept. */
export const SIGHTINGS_PER_SERVER_MAX = 16_384
/** How often at most the time of the last sight is written. */
export const LAST_SEEN_MS = 60_000
/**
 * Whoever the PDP dials on somebody's word: a connection to them, the head of their answer and each pause within it, bytes
 * of it; connections to one, and how many are talked to at a time.
 */
export const DIAL_CONNECT_TIMEOUT_MS = 5_000
export const DIAL_ANSWER_TIMEOUT_MS = 10_000
export const DIAL_ANSWER_BYTES_MAX = 1024 * 1024
export const DIAL_CONNECTIONS_MAX = 8
export const DIAL_ORIGINS_MAX = 1_024
/** A client whose request cannot be read has this long to read why. */
export const UNREADABLE_CLOSE_MS = 1_000
/** Characters of an upstream secret: shorter ones could not be told from other text; and how many one credential holds. */
export const CREDENTIAL_SECRET_LENGTH_MIN = 8
export const CREDENTIAL_SECRET_LENGTH_MAX = 16 * 1024
export const CREDENTIAL_NAMES_MAX = 16
/** Credentials a PDP remembers decrypted, in memory alone. */
export const CREDENTIALS_REMEMBERED_MAX = 16_384
/** How long a decision waits for an access token that is being fetched; the fetch itself goes on. */
export const CREDENTIAL_WAIT_MS = 750
/** One exchange with an authorization server; and how long nobody else asks it for the same token meanwhile. */
export const TOKEN_REQUEST_TIMEOUT_MS = 10_000
export const REFRESH_LEASE_MS = 15_000
/** After a token could not be fetched, and nobody knows why: how soon it is tried again, by the next call. */
export const REFRESH_COOLDOWN_MS = 30_000
/** An access token that ends sooner is renewed while it is still used; of a short one this share of its life, if that is less. */
export const REFRESH_AHEAD_MS = 60_000
export const REFRESH_AHEAD_SHARE = 0.2
/** How long an access token without an end is used. */
export const TOKEN_LIFETIME_DEFAULT_MS = 60 * 60_000
/** Of a metadata document or a token answer of an authorization server. */
export const OAUTH_ANSWER_BYTES_MAX = 256 * 1024
/** How long somebody may take from opening the link to connect their account to coming back. */
export const CONNECT_LIFETIME_MS = 10 * 60_000
/** How long what an authorization server says of itself is used without asking again. */
export const OAUTH_METADATA_AGE_MS_MAX = 60_000
/** After it could not be had: how long nobody asks again. */
export const OAUTH_FAILURE_AGE_MS_MAX = 1_000
/** Answers to connecting an account that a PDP remembers, so that each is taken once. */
export const CONNECTS_REMEMBERED_MAX = 16_384
