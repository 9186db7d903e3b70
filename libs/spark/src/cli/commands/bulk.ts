import type { Command } from 'commander';
import type { BulkOptions } from '../../store/bulk-run.js';
import { MisuseError } from '../command.error.js';
import { confirm, isAnswerable, mustBeAnswerable } from '../output/confirm.js';
import type { Output } from '../output/output.js';
import { count, type Progress } from '../output/progress.js';

/** The options of {@link addBulkOptions}. */
export interface BulkFlags {
  readonly dryRun?: true;
  readonly yes?: true;
}

/** What a call on many rows is about, in words. */
export interface BulkWords {
  /** `discard` */
  readonly act: string;
  /** `discarded` */
  readonly done: string;
  /** `deliveries` */
  readonly what: string;
}

interface BulkInvocation {
  readonly options: BulkFlags;
  readonly output: Output;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Adds the options of a call that changes many rows. */
export const addBulkOptions = (command: Command): Command =>
  command
    .optionsGroup('How:')
    .option('--dry-run', 'counts what it would change, and changes nothing')
    .option('-y, --yes', 'does not ask');

/**
 * Runs a call that changes many rows: with `--dry-run` it only counts. Without `--yes` it counts and asks. It prints how many rows it has
 * changed. Throws MisuseError if nobody can be asked; CommandError if the answer is no.
 */
export async function runBulk(
  { options, output, progress, signal }: BulkInvocation,
  { act, done, what }: BulkWords,
  call: (options: BulkOptions) => Promise<number>,
): Promise<void> {
  const { dryRun = false, yes = false } = options;
  const { streams } = output;
  if (!dryRun && !yes) mustBeAnswerable(streams, act);
  const counts = dryRun || isAnswerable(streams);
  const total = counts ? await call({ dryRun: true, signal }) : undefined;
  if (!dryRun && !yes && total! > 0) await confirm(streams, `${capital(act)} ${count(total!)} ${what}?`, signal);
  const onProgress = (sofar: number) => progress.show(sofar, what, total);
  const changed = dryRun || total === 0 ? total! : await call({ signal, onProgress });
  progress.end();
  const line = dryRun ? `${count(changed)} ${what} would be ${done}.` : `${count(changed)} ${what} ${done}.`;
  output.record({ act, dryRun, [what]: changed }, () => output.text(line));
}

/** Throws MisuseError if a filter selects all, and `--all` does not say so. */
export function mustSelect(filter: object, options: { readonly all?: true }, act: string): void {
  const isEmpty = Object.keys(filter).length === 0;
  if (isEmpty && !options.all)
    throw new MisuseError(
      `Nothing was changed: say which to ${act}, by ids or by options such as --handler, or say --all.`,
    );
  if (!isEmpty && options.all) throw new MisuseError('Nothing was changed: --all excludes ids and other options.');
}

const capital = (text: string): string => text[0]!.toUpperCase() + text.slice(1);
