// Owns how the PDP reaches what somebody named: identity providers and authorization servers. Types only, for now.
export type Fetch = (url: string, init: RequestInit) => Promise<Response>

/**
 * A fetch that opens https to public addresses, and to these origins (`https://host:port`) wherever they are. Never
 * follows a redirect: its answer is what the caller gets.
 */
export type Dialer = (privateOrigins: readonly string[]) => Fetch
