// Owns the limits that only the PEP has; those it shares with the PDP are in schemas/limits.ts.
// Milliseconds, bytes, counts.
import { TOOLS_MAX } from '../../schemas/limits.ts'

/**
 * Waiting for a TCP connection to a server, and for the head of its answer: longer than any
 * client's own patience.
 */
export const UPSTREAM_CONNECT_TIMEOUT_MS = 5_000
export const UPSTREAM_HEADERS_TIMEOUT_MS = 330_000
/**
 * Telling a server that its own request was denied; and of one server, how many are told at once: one that asks faster
 * than it listens is not told.
 */
export const UPSTREAM_TELL_TIMEOUT_MS = 10_000
export const UPSTREAM_TELLS_MAX = 64
/** Silence within an answer that is not an event stream. */
export const UPSTREAM_BODY_TIMEOUT_MS = 330_000
/** Connections to one server, beside those of lasting streams; a call beyond waits for one. */
export const UPSTREAM_CONNECTIONS_MAX = 1_024
/**
 * How long an answer whose legacy client went away is read on, so that the server is not
 * interrupted.
 */
export const ABANDONED_ANSWER_MS_MAX = 330_000

/**
 * One message of a server, in whatever way it comes: a JSON answer, an event, a line. A longer one is refused, since
 * it cannot be looked into.
 */
export const SERVER_MESSAGE_BYTES_MAX = 16 * 1024 * 1024
/**
 * The event stream that answers one request: its bytes, its time, and how long it may stay open after the answer
 * was on it.
 */
export const ANSWER_STREAM_BYTES_MAX = 256 * 1024 * 1024
export const ANSWER_STREAM_MS_MAX = 60 * 60_000
export const ANSWER_CLOSE_MS = 10_000
/** Lifetime a client may cache a filtered list for, so that a policy change shows. */
export const LIST_TTL_MS_MAX = 5_000

/** Characters of a method name, as the PDP takes it. */
export const METHOD_LENGTH_MAX = 256
/** Characters of the session ids and task ids that servers coin. */
export const SESSION_ID_LENGTH_MAX = 1_024
export const TASK_ID_LENGTH_MAX = 1_024
/** How long a client may take to come back with the `requestState` of a server. */
export const REQUEST_STATE_MS_MAX = 60 * 60_000
/** Long-lived GET streams open at once, over all servers. */
export const STREAMS_MAX = 1_024
export const STREAMS_PER_GRANT_MAX = 64
/** Resources that one `subscriptions/listen` may name; each is decided by itself. */
export const SUBSCRIBED_URIS_MAX = 64
/** Tasks that one `subscriptions/listen` may name. */
export const SUBSCRIBED_TASKS_MAX = 256
/** Requests of a server to its client in one answer; each is decided and recorded. On a stream they come one by one. */
export const SERVER_REQUESTS_MAX = 32
/**
 * Connections to one server for these: some more than may be open, since one too many is refused only when the server
 * has answered it.
 */
export const STREAM_CONNECTIONS_MAX = STREAMS_MAX + 64
/** How often it is asked whether what stays open may. */
export const STREAM_CHECK_MS = 60_000
/** Lists whose state is remembered, to tell their callers when it changes. */
export const LISTED_CALLERS_MAX = 16_384
/** Bytes of messages under way, of one grant and of all; a message beyond is refused. */
export const REQUEST_BYTES_PER_GRANT_MAX = 8 * 1024 * 1024
export const REQUEST_BYTES_MAX = 128 * 1024 * 1024
/** Tokens of which it is remembered whose they are. */
export const IDENTITIES_MAX = 65_536
/** Counts that sources whose requests fail to authenticate are spread over. */
export const FAILING_SOURCES_MAX = 65_536
/**
 * Revoked grants remembered, for verdicts and answers that were on their way: longer than an answer may take to begin, and
 * not for good, for nobody may be there to hear that a grant is in force again.
 */
export const REVOKED_GRANTS_MAX = 16_384
export const REVOKED_GRANT_KEPT_MS = UPSTREAM_HEADERS_TIMEOUT_MS + 60_000
/**
 * Calls that wait for a verdict, or verdicts that wait for a commit, before a new one is refused.
 */
export const WAITING_MAX = 4_096
/** `decide` requests and record writes under way at once. */
export const DECIDES_IN_FLIGHT_MAX = 2
export const RECORDS_IN_FLIGHT_MAX = 2

/** Bytes of records in one write. */
export const RECORD_BYTES_MAX = 16 * 1024 * 1024

/**
 * Outcomes: how long one waits for company, how many fit one report, how many wait before some are
 * dropped.
 */
export const REPORT_DELAY_MS = 200
export const REPORT_OUTCOMES_MAX = 1_024
export const REPORT_WAITING_MAX = 16_384
/** Waiting for the PDP on anything but a verdict. */
export const PDP_TIMEOUT_MS = 5_000

/**
 * Own discovery: how often, how long one may take, how soon one may follow another, how many pages
 * and tools.
 */
export const DISCOVERY_INTERVAL_MS = 60_000
export const DISCOVERY_TIMEOUT_MS = 10_000
export const DISCOVERY_COOLDOWN_MS = 5_000
/** Places of one message in which a credential is masked; a server that says it more often is not believed. */
export const ECHOES_MAX = 10_000
/** How long a call for a tool never seen waits for a look. */
export const DISCOVERY_WAIT_MS = 1_000
export const DISCOVERY_PAGES_MAX = 64
export const DISCOVERY_TOOLS_MAX = TOOLS_MAX
/**
 * Looks at one server as its callers see it: how long what one saw is taken for what its caller is shown, how many at
 * once, and callers of whom it is remembered when.
 */
export const CALLER_LOOK_INTERVAL_MS = 5 * 60_000
export const CALLER_LOOKS_AT_ONCE_MAX = 16
export const CALLERS_LOOKED_FOR_MAX = 16_384
/** How long nobody looks again for a caller who was denied it: they may have connected their account since. */
export const CALLER_DENIED_COOLDOWN_MS = 1_000
/** Characters of definitions that fingerprints are remembered by, of one server. */
export const FINGERPRINTS_LENGTH_MAX = 8 * 1024 * 1024
/**
 * Tools of one server that callers were shown otherwise than the gateway; the callers of longest ago
 * are forgotten first, and their calls decided by what the gateway saw.
 */
export const CALLER_VARIANTS_MAX = 65_536
/** Characters of definitions that one look keeps for the PDP, and of one request; what is over waits for the next look. */
export const TOLD_LENGTH_MAX = 32 * 1024 * 1024
export const TOLD_REQUEST_LENGTH_MAX = 1024 * 1024
/** Definitions from callers' lists that wait to be told to the PDP; more are not told. */
export const TOLD_WAITING_MAX = 256

/**
 * Sessions over a channel (stdio, HTTP+SSE): of one server, of these for one grant (its next session ends its oldest
 * idle one), and how long one may be idle.
 */
export const SESSIONS_MAX = 64
export const SESSIONS_PER_GRANT_MAX = 8
export const SESSION_IDLE_MS_MAX = 30 * 60_000
/** Messages of a server that wait for its client to open a stream or to ask for something. */
export const SESSION_WAITING_MESSAGES_MAX = 64
/** Requests of a server that its client has not answered; the answer to one before these is dropped. */
export const SESSION_ASKED_MAX = 256
/** How often the channel of one session may end unasked within how long; then the session ends. */
export const CHANNEL_LOSSES_MAX = 3
export const CHANNEL_LOSSES_MS = 60_000
/** A new channel in place of a lost one: until the server has answered the handshake. */
export const CHANNEL_REOPEN_TIMEOUT_MS = 20_000
/** HTTP+SSE: until the stream is open and has named its endpoint. */
export const SSE_OPEN_TIMEOUT_MS = 10_000
/**
 * What was sent to one server and is masked in what it says: the last versions of one credential, and the last credentials
 * of one caller; characters of all of them; and callers. Beyond, what a message was asked with is masked in its answer.
 */
export const CREDENTIAL_VERSIONS_MASKED_MAX = 8
export const CALLER_CREDENTIALS_MASKED_MAX = 2
export const CREDENTIALS_USED_LENGTH_MAX = 512 * 1024
export const CREDENTIAL_CALLERS_MAX = 16_384
/** Bytes that wait for a child to read them; more is refused. */
export const CHILD_UNREAD_BYTES_MAX = 16 * 1024 * 1024
/** Characters of what a child said last on stderr, for the log when it ends unasked. */
export const STDERR_TAIL_LENGTH_MAX = 4_096
/** From the polite end of a child (its input closes) over SIGTERM to SIGKILL. */
export const CHILD_STOP_MS = 2_000

/** Trying out, at start, what children are kept apart by. */
export const ISOLATION_TRIAL_MS = 5_000

/** Servers we start: how long until one answers, and the pauses between restarts. */
export const SPAWN_READY_TIMEOUT_MS = 20_000
export const SPAWN_POLL_MS = 50
export const SPAWN_BACKOFF_MS_MIN = 250
export const SPAWN_BACKOFF_MS_MAX = 30_000

/**
 * The event stream of the PDP: pauses before it is opened again, and silence after which it is
 * taken for dead.
 */
export const EVENTS_BACKOFF_MS_MIN = 100
export const EVENTS_BACKOFF_MS_MAX = 5_000
export const EVENTS_SILENCE_MS_MAX = 40_000

/** A client may take this long to send one request, head and body. */
export const REQUEST_TIMEOUT_MS = 30_000
/** From the order to stop until what is still open is cut off. */
export const STOP_GRACE_MS = 3_000
