import type { EntityManager } from 'typeorm';
import { withRunner } from '../dialect/statement.js';
import { SparkError } from '../error/spark.error.js';
import { textOf } from '../error/text-of.js';
import type { SparkEvent } from '../event/spark-event.js';
import { eventsOf, type Source } from '../source/source.js';
import { pageOfKeys, readSubjects, type Subject } from '../subject/subjects.js';
import { readsClock } from '../inspect/clock-reads.js';
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

// What is true changes from one millisecond to the next too seldom to matter; a key that holds the time always does.
const MOMENT = 1;

/** Runs all sources on entities of the database, and says what is wrong with them. */
export async function lintSources(spark: Spark, now: number, limit: number): Promise<SourceProblem[]> {
  return withRunner(spark.dataSource.manager, async ({ manager }) => {
    const problems: SourceProblem[] = [];
    for (const source of spark.sources.all()) problems.push(...(await lintSource(manager, source, now, limit)));
    return problems;
  });
}

async function lintSource(manager: EntityManager, source: Source, now: number, limit: number) {
  const keys = await pageOfKeys(manager, source, { after: undefined, limit });
  const read = () => readSubjects(manager, source, keys);
  const problems: SourceProblem[] = [];
  // A source may change what it is given: each run gets entities of its own.
  const runs = [await read(), await read(), await read(), await read()].map((all) =>
    source.options.batch ? [all] : all.map((one) => [one]),
  );
  for (const [i, first] of runs[0]!.entries()) {
    if (first.length === 0) continue;
    const others = runs.slice(1).map((run) => run[i]!);
    const problem = await problemOf(source, [first, ...others], now);
    const entity = `${source.metadata.name} ${first[0]!.ref.id}`;
    if (problem !== undefined) problems.push({ source: source.name, entity, problem });
  }
  return problems;
}

async function problemOf(source: Source, runs: readonly (readonly Subject[])[], now: number) {
  const [once, again, later, counted] = runs.map((subjects) => {
    const entities = subjects.map(({ entity }) => entity);
    return source.options.batch ? entities : entities[0];
  });
  const run = async (subject: unknown, instant: number) =>
    keysOf(await eventsOf(source, subject, { now: new Date(instant) }));
  try {
    const first = await run(once, now);
    const unstable = difference(first, await run(again, now));
    if (unstable !== undefined)
      return `it yields ${unstable} in one run and not in the next. Derive keys from the entity alone.`;
    const moved = difference(await run(later, now + MOMENT), first);
    if (moved !== undefined)
      return `it yields ${moved} a millisecond later. The time must not be part of a key; eachDay, eachWeek … are for that.`;
    if (readsClock(source, counted, now))
      return 'it asks the clock of the process. Use scope.now: one instant for all that is derived at once, and tests can move it.';
  } catch (error) {
    return `it throws: ${textOf(error).split('\n')[0]}`;
  }
  return undefined;
}

// Future ones count as well: they are what it will say.
const keysOf = (events: readonly SparkEvent[]): Set<string> => new Set(events.map(({ key }) => key));

function difference(one: ReadonlySet<string>, other: ReadonlySet<string>): string | undefined {
  return [...one].find((key) => !other.has(key)) ?? undefined;
}
