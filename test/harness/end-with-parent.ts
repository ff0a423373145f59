// Owns the end of a process under test whose test run was killed: preloaded, it asks for an orderly stop when stdin closes.
process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM')).resume()
process.stdin.unref()
