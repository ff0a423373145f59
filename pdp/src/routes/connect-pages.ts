// Owns what a person sees who connects an account: plain pages without scripts, which nobody may frame, keep or learn the
// address of. Everything that comes from elsewhere is text. Decides nothing.
import { hash } from 'node:crypto'
import type { Context } from 'hono'
import { html, raw } from 'hono/html'
import type { Connected } from '../credentials/connections.ts'
import type { Consent } from '../credentials/oauth/connect-ports.ts'

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
dt{font-weight:600;margin-top:.75rem}dd{margin:0;overflow-wrap:anywhere}button{font:inherit;padding:.5rem 1rem;margin-top:1.5rem}
@media(prefers-color-scheme:dark){body{color:#eee;background:#111}a{color:#9cf}}`

const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${hash('sha256', STYLE, 'base64')}'`,
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ')

/** Set on every answer of these routes, redirects too: their addresses hold codes. */
export function guardHeaders(c: Context): void {
  c.header('content-security-policy', POLICY)
  c.header('x-frame-options', 'DENY')
  c.header('x-content-type-options', 'nosniff')
  c.header('referrer-policy', 'no-referrer')
  c.header('cache-control', 'no-store')
  c.header('cross-origin-opener-policy', 'same-origin')
}

type Part = ReturnType<typeof html>

function page(title: string, body: Part, head: Part = html``): Part {
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title} · Cedargate</title>${head}<style>${raw(STYLE)}</style></head>
<body><h1>${title}</h1>${body}</body></html>`
}

export function problemPage(message: string): Part {
  return page('This did not work', html`<p>${message}</p>`)
}

export function consentPage(consent: Consent, action: string): Part {
  const { server, user, by, issuer, host, sentTo, scope, csrf } = consent
  return page(
    `Connect an account to ${server}`,
    html`<dl>
<dt>You are signed in as</dt><dd>${by}</dd>
<dt>Server</dt><dd>${server}</dd>
<dt>For whom</dt><dd>${user === null ? 'everybody who may use this server through the gateway' : `${user} alone`}</dd>
<dt>Whose account it is</dt><dd>one at ${issuer}</dd>
<dt>You will be sent to</dt><dd>${host}</dd>
<dt>What you give there goes to</dt><dd>${sentTo}</dd>
<dt>What the gateway asks for</dt><dd>${scope ?? 'what is given there by default'}</dd>
</dl>
<p>The gateway keeps the access that you give there, and uses it for calls to ${server} that its policies allow${user === null ? '' : ' to your agents'}. If you did not mean to do this, close the page.</p>
<form method="post" action="${action}"><input type="hidden" name="csrf" value="${csrf}"><button>Go on to ${host}</button></form>`,
  )
}

/** A form's redirect may not leave the gateway (`form-action`), a page may. */
export function leavePage(url: string, host: string): Part {
  return page(
    `Going to ${host}`,
    html`<p><a href="${url}" rel="noreferrer">Go on to ${host}</a></p>`,
    html`<meta http-equiv="refresh" content="0;url=${url}">`,
  )
}

export function connectedPage({
  server,
  user,
  issuer,
}: Pick<Connected, 'server' | 'user' | 'issuer'>): Part {
  const whom = user === null ? 'everybody who may use it' : user
  return page(
    `${server} is connected`,
    html`<p>The account at ${issuer} is used for ${whom} from now on. You can close this page and repeat the call.</p>`,
  )
}
