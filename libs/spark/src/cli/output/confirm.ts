import { createInterface } from 'node:readline/promises';
import { CommandError, MisuseError } from '../command.error.js';
import { printable } from '../../error/text-of.js';
import type { Streams } from './output.js';

/** Whether a person can answer: both ends are a terminal. */
export const isAnswerable = ({ stdin, stderr }: Streams): boolean => stdin.isTTY && stderr.isTTY;

/** Throws MisuseError if nobody has agreed, and nobody can be asked. */
export function mustBeAnswerable(streams: Streams, act: string): void {
  if (isAnswerable(streams)) return;
  throw new MisuseError(
    `Nothing was changed: ${act} needs --yes where nobody can be asked. See what it would do with --dry-run.`,
  );
}

/** Asks a question that yes or no answers. Throws CommandError for any answer but yes, also at the end of the input. */
export async function confirm(
  { stdin, stderr }: Pick<Streams, 'stdin' | 'stderr'>,
  question: string,
  signal: AbortSignal,
): Promise<void> {
  const lines = createInterface({ input: stdin, output: stderr });
  // On a terminal, readline gets Ctrl-C in place of the process.
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  const ended = new Promise<string>((fulfil) => lines.once('close', () => fulfil('')));
  try {
    const answer = await Promise.race([lines.question(`${printable(question)} [y/N] `, { signal }), ended]);
    if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError('Nothing was changed.');
  } finally {
    lines.close();
  }
}
