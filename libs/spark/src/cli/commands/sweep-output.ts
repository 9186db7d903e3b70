import type { Command } from 'commander';
import type { BaselineOptions } from '../../runtime/sweep.arguments.js';
import type { SweepReport } from '../../sweep/sweep-report.js';
import type { Connected } from '../action.js';
import { wholeNumber } from '../arguments/instant.js';
import type { Output } from '../output/output.js';
import { count } from '../output/progress.js';

/** The options of {@link addSpeedOptions}. */
export interface SpeedOptions {
  readonly concurrency?: number;
  readonly rate?: number;
}

/** Adds the options that say how fast a sweep is. */
export const addSpeedOptions = (command: Command): Command =>
  command
    .optionsGroup('How fast:')
    .option('--concurrency <number>', 'sweeps so many ranges of a table at once', wholeNumber)
    .option('--rate <number>', 'reads at most so many entities a second', wholeNumber);

/** How fast a sweep is to be. */
export const speedOf = ({ concurrency, rate }: SpeedOptions): BaselineOptions => ({
  ...(concurrency === undefined ? {} : { concurrency }),
  ...(rate === undefined ? {} : { rate }),
});

/** Runs a sweep, and shows how far it is. After a signal it says how to go on. */
export async function watched(
  { service, progress, output, signal }: Connected<unknown>,
  sweep: () => Promise<SweepReport>,
  goOn: string,
): Promise<SweepReport> {
  const watching = service.sweeps$.subscribe(({ source, passed, total, rate }) =>
    progress.show(passed, `rows of ${source}`, total, rate),
  );
  try {
    return await sweep();
  } catch (error) {
    progress.end();
    if (signal.aborted) output.note(goOn);
    throw error;
  } finally {
    watching.unsubscribe();
    progress.end();
  }
}

/** Whether nothing was left out. */
export const isWhole = ({ failed, refused, elsewhere, paused }: SweepReport): boolean =>
  failed + refused + elsewhere + paused === 0;

/** Prints what a sweep did. */
export function printReport(output: Output, report: SweepReport): void {
  const { subjects, entered, missed, failed, refused, held, durationMs } = report;
  output.record(report, () =>
    output.details({
      'entities read': subjects,
      'new events': entered,
      'missed by live capture': missed,
      'entities failed': failed,
      'events refused': refused,
      'deliveries held': held,
      took: `${count(durationMs)} ms`,
    }),
  );
}

/** Says what is left to do after a sweep. */
export function noteRest(output: Output, { failed, refused, held, elsewhere, paused }: SweepReport): void {
  if (failed + refused > 0)
    output.note(
      'Sources have failed, or their events were refused: the lines above say why. plan --summary counts them.',
    );
  if (held > 0) output.note('Held deliveries wait: spark deliveries release, or spark deliveries discard.');
  if (elsewhere > 0)
    output.note(`${elsewhere} sources were left to processes that sweep them at the moment. Call it again.`);
  if (paused > 0) output.note(`${paused} sources are paused: spark sweep resume.`);
}
