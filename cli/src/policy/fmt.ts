// Owns `cedargate policy fmt`: laying out policy files in place. Touches only cedar/*.cedar, and of those only files
// that mean the same afterwards.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readFolder } from '../../../pdp/src/bundle/folder.ts'
import { formatPolicyFiles } from '../../../pdp/src/bundle/format.ts'
import { EXIT } from '../../../schemas/codes.ts'
import type { Context } from '../commands/context.ts'
import { CommandError } from '../errors.ts'
import type { Format } from '../output.ts'
import { orInvalid, shown } from './bundle.ts'

type Options = { readonly check: boolean; readonly format: Format }

/**
 * Formats, and prints the files that changed (with `check`: would change). Throws CommandError with exit 3 for those
 * with `check`, and for files that cannot be formatted; the others are written all the same.
 */
export async function formatBundle(
  { io }: Pick<Context, 'io'>,
  directory: string,
  { check, format }: Options,
): Promise<void> {
  const files = await orInvalid(() => readFolder(directory, 'cedar', ['.cedar']))
  const formatted = await formatPolicyFiles(files)
  const changed = formatted.filter((one) => one.outcome === 'changed')
  const refused = formatted.flatMap((one) => (one.outcome === 'refused' ? [one.finding] : []))
  if (!check) {
    await Promise.all(changed.map(({ file, text }) => writeFile(join(directory, file), text)))
  }
  const names = changed.map(({ file }) => file)
  if (format === 'json') io.out(JSON.stringify({ changed: names, refused }, null, 2))
  else for (const line of [...names, ...refused.map(shown)]) io.out(line)
  if (refused.length > 0) {
    throw new CommandError(`${refused.length} files cannot be formatted`, { exit: EXIT.invalid })
  }
  if (check && changed.length > 0) {
    throw new CommandError(`${changed.length} files are not formatted`, {
      exit: EXIT.invalid,
      hint: `cedargate policy fmt ${directory}`,
    })
  }
}
