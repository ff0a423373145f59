// Owns three habits of every Node process that a PEP starts: it listens on loopback unless it names a host, it answers no
// web page (a foreign Origin or Host), and it ends with whoever started it. Plain JavaScript: it is loaded by whatever
// Node the server runs on (20 or later).
import { Server as HttpServer } from 'node:http'
import { Server } from 'node:net'

const PARENT_CHECK_MS = 500
const LOOPBACK = '127.0.0.1'

const { listen } = Server.prototype
Server.prototype.listen = function listenOnLoopback(...args) {
  return listen.apply(this, withHost(args))
}

const { emit } = HttpServer.prototype
HttpServer.prototype.emit = function emitNear(event, request, ...rest) {
  if (!['request', 'checkContinue', 'upgrade'].includes(event) || !isForeign(request)) {
    return emit.call(this, event, request, ...rest)
  }
  request.socket.destroy()
  return true
}

/** The PEP sends no Origin, and the loopback address as Host; a page that a browser shows sends one or the other. */
function isForeign({ headers }) {
  const host = (headers.host ?? '').replace(/:\d+$/, '')
  return headers.origin !== undefined || !['127.0.0.1', 'localhost', '[::1]'].includes(host)
}

const parent = process.ppid
setInterval(() => {
  if (process.ppid !== parent) process.exit(0)
}, PARENT_CHECK_MS).unref()

/**
 * The arguments of `listen` with loopback where a port has no host; paths, handles and descriptors
 * stay as they are.
 */
function withHost([first, second, ...rest]) {
  if (typeof first === 'object' && first !== null) {
    const isPort = 'port' in first && first.path === undefined && first.fd === undefined
    return [isPort && !first.host ? { ...first, host: LOOPBACK } : first, second, ...rest]
  }
  if (first === undefined || typeof first === 'function')
    return [0, LOOPBACK, first ?? second, ...rest]
  const isPath = typeof first === 'string' && !/^\d+$/.test(first)
  if (isPath || typeof second === 'string') return [first, second, ...rest]
  return second === undefined || second === null
    ? [first, LOOPBACK, ...rest]
    : [first, LOOPBACK, second, ...rest]
}
