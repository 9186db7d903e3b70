import { confirm, mustBeAnswerable } from '../output/confirm.js';
import type { Output } from '../output/output.js';
import type { BulkFlags } from './bulk.js';

interface Asking {
  readonly options: BulkFlags;
  readonly output: Output;
  readonly signal: AbortSignal;
}

/**
 * Makes sure that a change is wanted, unless it is a dry run or `--yes` is given. It asks a person.
 *
 * @param act the command, for messages: `erase`
 * @param question counts what the change is about, and returns the question
 * @throws MisuseError if nobody can be asked; CommandError if the answer is no
 */
export async function agree(
  { options, output, signal }: Asking,
  act: string,
  question: () => Promise<string>,
): Promise<void> {
  if (options.dryRun || options.yes) return;
  mustBeAnswerable(output.streams, act);
  await confirm(output.streams, await question(), signal);
}
