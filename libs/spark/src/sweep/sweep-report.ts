/** The progress of a sweep of one source. */
export interface SweepProgress {
  /** The source's name. */
  readonly source: string;
  /** The entity's name. */
  readonly entity: string;
  /** How many entities this process has read so far. */
  readonly subjects: number;
  /** How many new events this process has entered so far. */
  readonly entered: number;
  /**
   * How many of these live capture should have found. The source yields them for the time of the last sweep, too, so time alone has not
   * made them true.
   */
  readonly missed: number;
  /** For how many entities the source has failed so far. */
  readonly failed: number;
  /** How many events Spark has refused so far. The log has the reasons. */
  readonly refused: number;
  /** How many rows of the table all processes of this sweep have passed so far, with those that they need not read. */
  readonly passed: number;
  /** How many rows the table has, by the statistics of the database; undefined where they do not say. */
  readonly total: number | undefined;
  /** How many rows a second all processes have passed since this process began. */
  readonly rate: number;
  /** How long the rest takes at that rate, in milliseconds; undefined where `total` is undefined, or nothing has been passed yet. */
  readonly timeLeft: number | undefined;
  /** Whether the sweep of this source has ended. */
  readonly done: boolean;
}

/** The result of a sweep: the sums over its sources, for this process. */
export type SweepReport = Pick<SweepProgress, 'subjects' | 'entered' | 'missed' | 'failed' | 'refused'> & {
  /** How many deliveries stay held: those of groups that were swept for the first time and have more than `activation.limit`. */
  readonly held: number;
  /** How many sources this process did not sweep because processes with another version of the source are sweeping them. */
  readonly elsewhere: number;
  /** How many sources were not swept to the end because `pauseSweep` has paused them. */
  readonly paused: number;
  /** How long it took, in milliseconds. */
  readonly durationMs: number;
};

/** The sums of a report while a sweep is running. */
export type Sums = { -readonly [K in Exclude<keyof SweepReport, 'durationMs'>]: SweepReport[K] };

export const noSums = (): Sums => ({
  subjects: 0,
  entered: 0,
  missed: 0,
  failed: 0,
  refused: 0,
  held: 0,
  elsewhere: 0,
  paused: 0,
});

/** A report as a log line. */
export function wordsOf({
  subjects,
  entered,
  missed,
  failed,
  refused,
  elsewhere,
  paused,
  durationMs,
}: SweepReport): string {
  const words = [
    `Sweep: ${subjects} entities read`,
    `${entered} new events`,
    ...(missed > 0 ? [`${missed} of them missed by live capture`] : []),
    ...(failed + refused > 0 ? [`${failed} entities failed`, `${refused} events refused`] : []),
    ...(elsewhere > 0 ? [`${elsewhere} sources left to other processes`] : []),
    ...(paused > 0 ? [`${paused} sources paused`] : []),
    `${durationMs} ms.`,
  ];
  return words.join(', ');
}
