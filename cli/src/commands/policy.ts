// Owns `cedargate policy`: what a policy author runs on a checkout, without a gateway. The work is in cli/src/policy.
import { type Command, Option } from 'commander'
import type { Format } from '../output.ts'
import type { CheckFormat } from '../policy/check.ts'
import type { ExplainOptions } from '../policy/explain.ts'
import type { SchemaOptions } from '../policy/schema.ts'
import type { TestOptions } from '../policy/test.ts'
import { type Context, collect, formatOption } from './context.ts'

export function addPolicy(program: Command, context: Context): void {
  const policy = program
    .command('policy')
    .description('check, format, test and explain the policies of a bundle, offline')
    .addHelpText('after', HELP)
  addCheck(policy, context)
  addFmt(policy, context)
  addTest(policy, context)
  addExplain(policy, context)
  addSchema(policy, context)
  addScaffold(policy, context)
  addDiff(policy, context)
}

const BUNDLE = ['[bundle]', 'directory of the bundle', '.'] as const

function addCheck(policy: Command, context: Context): void {
  policy
    .command('check')
    .description('find everything that is wrong with a bundle')
    .argument(...BUNDLE)
    .option('--warnings-as-errors', 'exit 3 for warnings too', false)
    .addOption(
      new Option('--format <format>', 'text for people, json for programs, github for annotations')
        .choices(['text', 'json', 'github'])
        .default('text'),
    )
    .action(async (bundle: string, options: { format: CheckFormat; warningsAsErrors: boolean }) => {
      const { checkBundle } = await import('../policy/check.ts')
      await checkBundle(context, bundle, options)
    })
}

function addFmt(policy: Command, context: Context): void {
  policy
    .command('fmt')
    .description("lay out cedar/*.cedar as Cedar's own formatter does, in place")
    .argument(...BUNDLE)
    .option('--check', 'write nothing, exit 3 when a file is laid out otherwise', false)
    .addOption(formatOption())
    .action(async (bundle: string, options: { check: boolean; format: Format }) => {
      const { formatBundle } = await import('../policy/fmt.ts')
      await formatBundle(context, bundle, options)
    })
}

function addTest(policy: Command, context: Context): void {
  policy
    .command('test')
    .description('run tests/*.json (as `cedar run-tests` does) and tests/*.yaml (a matrix)')
    .argument(...BUNDLE)
    .option('--junit <file>', 'write the results as JUnit XML too')
    .option('--allow-none', 'a bundle without tests is fine', false)
    .addOption(formatOption())
    .action(async (bundle: string, options: TestOptions) => {
      const { testBundle } = await import('../policy/test.ts')
      await testBundle(context, bundle, options)
    })
}

function addExplain(policy: Command, context: Context): void {
  policy
    .command('explain')
    .description('decide one request and say why')
    .argument(...BUNDLE)
    .requiredOption('--server <id>', 'the server that is called')
    .option('--user <id>', 'the person; without one, the agent acts for nobody')
    .option('--team <id>', 'a team of the person; repeat it', collect, [])
    .option('--agent <id>', 'the agent', 'test')
    .option('--scope <scope>', 'a scope of the grant; repeat it (default: every one)', collect, [])
    .option('--tool <name>', 'the tool that is called')
    .option('--args <json>', 'its arguments: JSON, or @file', '{}')
    .option('--method <method>', 'another method than tools/call, e.g. resources/read')
    .option('--params <json>', 'its params: JSON, or @file', '{}')
    .option('--at <time>', 'context.request.time, as 2026-01-31T12:00:00Z (default: now)')
    .addOption(formatOption())
    .addHelpText('after', EXPLAIN_HELP)
    .action(async (bundle: string, options: ExplainOptions) => {
      const { explainRequest } = await import('../policy/explain.ts')
      await explainRequest(context, bundle, options)
    })
}

function addSchema(policy: Command, context: Context): void {
  policy
    .command('schema')
    .description('write the schema of the policies to cedargate.cedarschema, for editors')
    .argument(...BUNDLE)
    .option('--stdout', 'print it instead', false)
    .option('--check', 'write nothing, exit 3 when the file is out of date', false)
    .action(async (bundle: string, options: SchemaOptions) => {
      const { writeBundleSchema } = await import('../policy/schema.ts')
      await writeBundleSchema(context, bundle, options)
    })
}

function addScaffold(policy: Command, context: Context): void {
  policy
    .command('scaffold')
    .description('draft the policies of a server from the risks in its tools.lock.json')
    .argument('<server>', 'a server of the bundle')
    .argument(...BUNDLE)
    .requiredOption('--team <id>', 'the team that may read, and approves')
    .option('--owner <prefix>', 'prefix of the policy ids (default: the server)')
    .option('--write', 'write cedar/<server>.cedar, which must not exist', false)
    .action(
      async (
        server: string,
        bundle: string,
        options: { team: string; owner?: string; write: boolean },
      ) => {
        const { scaffoldServer } = await import('../policy/scaffold.ts')
        await scaffoldServer(context, bundle, { ...options, server })
      },
    )
}

function addDiff(policy: Command, context: Context): void {
  policy
    .command('diff')
    .description('what differs between two git revisions of a bundle, and which decisions flip')
    .argument('<before>', 'a git revision, or `.` for the files as they are')
    .argument('<after>', 'a git revision, or `.`')
    .argument(...BUNDLE)
    .addOption(formatOption())
    .addHelpText('after', DIFF_HELP)
    .action(async (before: string, after: string, bundle: string, options: { format: Format }) => {
      const { diffRevisions } = await import('../policy/diff.ts')
      await diffRevisions(context, bundle, { before, after, ...options })
    })
}

const HELP = `
They need no gateway and no network. \${CEDARGATE_HOME} and \${CEDARGATE_SERVER_…} in the \`root\` of derived paths are
taken from the environment. Exit codes: 3 the bundle is invalid, 4 tests failed, 5 decisions flip.`

const EXPLAIN_HELP = `
Example:
  cedargate policy explain policies --user alice --team engineering --server files --tool write_file \\
    --args '{"path":"notes.txt","content":""}'`

const DIFF_HELP = `
Decisions are those of the requests in the tests of both revisions; exit 5 when one is allowed by one revision only, or
a tool is listed by one only. Example:
  cedargate policy diff origin/main . policies`
