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

/** A change of many rows. It counts them as `T`. */
export interface CountedChange<T> {
  /** The command, for messages: `prune` */
  readonly act: string;
  count(): Promise<T>;
  /** How many rows were counted. */
  rowsOf(counted: T): number;
  question(counted: T): string;
  /** @param total how many rows it is about; undefined if they were not counted */
  change(total: number | undefined): Promise<T>;
}

/**
 * Changes many rows: with `--dry-run` it only counts. Without `--yes` it counts and asks. Returns what it has counted or changed. Throws
 * MisuseError if nobody can be asked; CommandError if the answer is no.
 */
export async function countAndChange<T>(
  { options, output, progress, signal }: BulkInvocation,
  { act, count: countRows, rowsOf, question, change }: CountedChange<T>,
): Promise<T> {
  const { dryRun = false, yes = false } = options;
  const { streams } = output;
  if (!dryRun && !yes) mustBeAnswerable(streams, act);
  // The total is for the question and for the progress.
  const counted = dryRun || isAnswerable(streams) ? { rows: await countRows() } : undefined;
  progress.end();
  const total = counted && rowsOf(counted.rows);
  if (counted && (dryRun || total === 0)) return counted.rows;
  if (!yes) await confirm(streams, question(counted!.rows), signal);
  const changed = await change(total);
  progress.end();
  return changed;
}

/**
 * Runs a call that changes rows of one kind, as {@link countAndChange} does, and prints how many it has changed. Throws what
 * {@link countAndChange} throws.
 */
export async function runBulk(
  invocation: BulkInvocation,
  { act, done, what }: BulkWords,
  call: (options: BulkOptions) => Promise<number>,
): Promise<void> {
  const { options, output, progress, signal } = invocation;
  const { dryRun = false } = options;
  const changed = await countAndChange(invocation, {
    act,
    count: () => call({ dryRun: true, signal }),
    rowsOf: (rows) => rows,
    question: (rows) => `${capital(act)} ${count(rows)} ${what}?`,
    change: (total) => call({ signal, onProgress: (sofar) => progress.show(sofar, what, total) }),
  });
  const line = `${count(changed)} ${what} ${dryRun ? `would be ${done}` : done}.`;
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
