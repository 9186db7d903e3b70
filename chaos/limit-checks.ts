import { type JournalEntry, LIMITS } from './faults.js';

/** What must not be found of the limits over all processes, by the times at which handlers were called. */
export interface LimitFindings {
  /** Times in which more calls began than the rate allows. */
  readonly rateExceeded: readonly string[];
  /** Times in which more calls ran than the concurrency allows. */
  readonly concurrencyExceeded: readonly string[];
}

/** What the processes of a round have recorded, and when each ended. */
export interface Recorded {
  readonly entries: readonly JournalEntry[];
  readonly ends: ReadonlyMap<number, number>;
}

/** Checks the limits by what the processes have recorded. */
export function checkLimits({ entries, ends }: Recorded): LimitFindings {
  return { rateExceeded: rateExceeded(entries), concurrencyExceeded: concurrencyExceeded(entries, ends) };
}

function rateExceeded(entries: readonly JournalEntry[]): string[] {
  const { max, per } = LIMITS.rate;
  const times = entries.flatMap(({ kind, at }) => (kind === 'rated' ? [at] : [])).sort((a, b) => a - b);
  // The times are whole milliseconds.
  return times.flatMap((at, i) =>
    (times[i + max] ?? Infinity) - at < per - 1 ? [`${max + 1} calls from ${at} to ${times[i + max]}`] : [],
  );
}

/** A call lasts until it ended, or its process died or was stalled: a process that stands still does nothing. */
function concurrencyExceeded(entries: readonly JournalEntry[], ends: ReadonlyMap<number, number>): string[] {
  const begun = entries.filter(({ kind }) => kind === 'shared');
  const changes = begun.flatMap(({ life, at, key }) => {
    const end = entries.find(
      (entry) => entry.kind === 'shared-end' && entry.life === life && entry.key === key && entry.at >= at,
    );
    const stall = entries.find((entry) => entry.kind === 'stall' && entry.life === life && entry.at >= at);
    const until = Math.min(end?.at ?? Infinity, stall?.at ?? Infinity, ends.get(life) ?? Infinity);
    return [
      { at, by: 1 },
      { at: until, by: -1 },
    ];
  });
  // What ends in a millisecond has ended when the next one begins in it.
  changes.sort((a, b) => a.at - b.at || a.by - b.by);
  let running = 0;
  return changes.flatMap(({ at, by }) => {
    running += by;
    return by > 0 && running > LIMITS.concurrency ? [`${running} calls at ${at}`] : [];
  });
}
