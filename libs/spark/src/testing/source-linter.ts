import type { EntityManager } from 'typeorm';
import { withRunner } from '../dialect/statement.js';
import { SparkError } from '../error/spark.error.js';
import { textOf } from '../error/text-of.js';
import type { SparkEvent } from '../event/spark-event.js';
import { eventsOf, type Source } from '../source/source.js';
import { pageOfKeys, readSubjects, type Subject } from '../subject/subjects.js';
import { watchClock } from '../inspect/clock-reads.js';
import type { Spark } from '../spark.js';

/** Something that makes a source unreliable. */
export interface SourceProblem {
  readonly source: string;
  /** The entity that it shows at: its name and id. Of a batch source the first of its page. */
  readonly entity: string;
  /** What is wrong, and what to do about it. */
  readonly problem: string;
}

/** Sources that cannot be relied on. Thrown by `SparkTestKit.lint`. */
export class SourceLintError extends SparkError {
  constructor(readonly problems: readonly SourceProblem[]) {
    super(
      `Event sources that cannot be relied on:\n` +
        problems.map(({ source, entity, problem }) => `- ${source}, at ${entity}: ${problem}`).join('\n'),
    );
  }
}

// How far the clock is moved, both ways. A key that each of them changes holds the time; hours and days may be told apart.
const SHIFTS = [
  { by: 1, unit: 'millisecond' },
  { by: 1_000, unit: 'second' },
  { by: 60_000, unit: 'minute' },
];
const RUNS = 2 + 2 * SHIFTS.length;
// They note when statements ran.
const DRIVERS = /[\\/]node_modules[\\/](typeorm|pg|pg-pool|mariadb|mysql2|better-sqlite3)[\\/]/;

/** Runs all sources on entities of the database, and says what is wrong with them. */
export async function lintSources(spark: Spark, now: number, limit: number): Promise<SourceProblem[]> {
  return withRunner(spark.dataSource.manager, async ({ manager }) => {
    const problems: SourceProblem[] = [];
    for (const source of spark.sources.all()) problems.push(...(await lintSource(manager, source, now, limit)));
    return problems;
  });
}

async function lintSource(manager: EntityManager, source: Source, now: number, limit: number) {
  const { batch } = source.options;
  const keys = await pageOfKeys(manager, source, { after: undefined, limit });
  const copies: Subject[][][] = [];
  while (copies.length < RUNS) {
    const all = await readSubjects(manager, source, keys);
    copies.push(batch ? [all] : all.map((one) => [one]));
  }
  const problems: SourceProblem[] = [];
  for (const [i, [first]] of copies[0]!.entries()) {
    if (!first) continue;
    // A source may change what it is given: each run gets entities of its own.
    const own = copies.map((pages) => pages[i]!.map(({ entity }) => entity)).values();
    const run: Run = async (instant) => {
      const entities = own.next().value!;
      return eventsOf(source, batch ? entities : entities[0], { now: new Date(instant) });
    };
    const problem = await problemOf(run, now).catch((error: unknown) => `it throws: ${textOf(error).split('\n')[0]}`);
    if (problem !== undefined)
      problems.push({ source: source.name, entity: `${source.metadata.name} ${first.ref.id}`, problem });
  }
  return problems;
}

/** Runs a source for an instant. Future events count as well: they are what it will say. */
type Run = (instant: number) => Promise<readonly SparkEvent[]>;

async function problemOf(run: Run, now: number): Promise<string | undefined> {
  const { events, asks } = await watched(run, now);
  const again = await run(now);
  const unstable = events.find((event) => !isIn(again, event));
  if (unstable) return `it yields ${unstable.key} in one run and not in the next. Derive keys from the entity alone.`;
  for (const { by, unit } of SHIFTS) {
    const others = [await run(now - by), await run(now + by)];
    const timed = events.find((event) => others.every((other) => isReplaced(event, events, other)));
    if (timed)
      return (
        `it yields ${timed.key}, and another key a ${unit} before and after. ` +
        `The time must not be part of a key; eachDay, eachWeek … are for that.`
      );
  }
  if (!asks) return undefined;
  return 'it asks the clock of the process. Use scope.now: one instant for all that is derived at once, and tests can move it.';
}

async function watched(run: Run, now: number): Promise<{ events: readonly SparkEvent[]; asks: boolean }> {
  let asks = false;
  const restore = watchClock(() => (asks ||= !DRIVERS.test(new Error().stack ?? '')));
  try {
    return { events: await run(now), asks };
  } finally {
    restore();
  }
}

const isIn = (events: readonly SparkEvent[], { key }: SparkEvent): boolean => events.some((one) => one.key === key);

/** Whether others give another event of the group in place of it: one that came or went with the time has no successor. */
function isReplaced(event: SparkEvent, beside: readonly SparkEvent[], others: readonly SparkEvent[]): boolean {
  return !isIn(others, event) && others.some((other) => other.group === event.group && !isIn(beside, other));
}
