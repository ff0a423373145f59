// Owns `cedargate tools`: from a live server to the reviewed definitions a bundle is typed by.
import type { Command } from 'commander'
import type { Context } from './context.ts'

export function addTools(program: Command, { config, io }: Context): void {
  program
    .command('tools')
    .description('reviewed tool definitions of a bundle')
    .command('lock')
    .description('read the tools of a server and write them to its tools.lock.json, for review')
    .argument('<bundle>', 'directory of the bundle')
    .argument('<server>', 'a server with a server.yaml in it')
    .addHelpText('after', LOCK_HELP)
    .action(async (bundle: string, server: string) => {
      const { lockServer } = await import('../lock-server.ts')
      const { path, tools } = await lockServer({
        bundle,
        server,
        env: { ...config.env, CEDARGATE_HOME: config.home },
      })
      for (const { name, risk } of tools) io.out(`${risk.padEnd(12)} ${name}`)
      io.err(
        `${path} holds ${tools.length} tools: review each definition and its risk, then commit it`,
      )
    })
}

const LOCK_HELP = `
The risk comes from the server's own annotations, which are hints: no hint means destructive.
Tools that are already locked keep the risk you gave them. Example:
  cedargate tools lock policies files`
