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
  const calls = entries.flatMap((call, i) =>
    call.kind === 'shared' ? [lastingUntil(call, entries.slice(i), ends)] : [],
  );
  calls.sort((a, b) => a.at - b.at);
  return calls.flatMap(({ at }, i) => {
    // What ends in a millisecond has ended when the next one begins in it.
    const running = calls.slice(0, i + 1).filter(({ until }) => until > at);
    return running.length > LIMITS.concurrency
      ? [`${running.length} calls at ${at}: ${running.map(shown).join(', ')}`]
      : [];
  });
}

interface Call {
  readonly life: number;
  readonly key: string | undefined;
  readonly at: number;
  readonly until: number;
  readonly why: string;
}

function lastingUntil(
  { life, key, at }: JournalEntry,
  later: readonly JournalEntry[],
  ends: ReadonlyMap<number, number>,
): Call {
  const own = later.filter((entry) => entry.life === life);
  const end = own.find((entry) => entry.kind === 'shared-end' && entry.key === key);
  const stall = own.find((entry) => entry.kind === 'stall');
  const [until, why] = (
    [
      [end?.at ?? Infinity, 'end'],
      [stall?.at ?? Infinity, 'stall'],
      [ends.get(life) ?? Infinity, 'death'],
    ] as const
  ).reduce((first, other) => (other[0] < first[0] ? other : first));
  return { life, key, at, until, why };
}

const shown = ({ life, key, at, until, why }: Call): string => `${key} by ${life} from ${at} to its ${why} at ${until}`;
