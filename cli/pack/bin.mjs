#!/usr/bin/env node
// Owns the `cedargate` command of the installed package. Refuses a Node that is too old in words: 20 and 22 end without
// any under Cedar's load.
if (Number(process.versions.node.split('.')[0]) < 24) {
  process.stderr.write(`cedargate: needs Node 24 or later, this is ${process.version}\n`)
  process.exitCode = 2
} else {
  await import('../cli/src/main.js')
}
