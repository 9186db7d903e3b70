import { withRunner } from '../database/statement.js';
import { SparkError } from '../error/spark.error.js';
import { textOf } from '../error/text-of.js';
import { messageOf } from '../error/wording.js';
import { checkContext } from '../event/context-schema.js';
import { checkEvent, NEVER } from '../event/event-check.js';
import { lasts } from '../event/lasting.js';
import { repeats } from '../event/repetitions.js';
import { isUnset } from '../event/schedule.js';
import type { SparkEvent } from '../event/spark-event.js';
import { flawInSource } from '../record/derivation.js';
import { eventsOf, type Source } from '../source/source.js';
import { pageOfKeys, readSubjects, type Subject } from '../entity/subjects.js';
import { watchClock } from '../source/clock-reads.js';
import { isReplaced, lostOf, type Run, TIMING_RUNS, undrivenOf, type Yielded } from './untimely-events.js';
import type { Spark } from '../runtime/create-spark.js';

/** A problem that makes a source unreliable. */
export interface SourceProblem {
  readonly source: string;
  /** The name and id of the entity that shows the problem. Of a batch source, it is the first entity of the batch. */
  readonly entity: string;
  /** What is wrong, and what to do about it. */
  readonly problem: string;
}

/** Some sources are not reliable. Thrown by `SparkTestKit.lint`. */
export class SourceLintError extends SparkError {
  constructor(readonly problems: readonly SourceProblem[]) {
    super(
      `Some event sources are not reliable:\n` +
        problems.map(({ source, entity, problem }) => `- ${source}, at ${entity}: ${problem}`).join('\n'),
    );
  }
}

// How far the clock is moved, back and forth. A key that changes with each of them contains the time. Occurrences by hour or day are allowed.
const SHIFTS = [
  { by: 1, unit: 'millisecond' },
  { by: 1_000, unit: 'second' },
  { by: 60_000, unit: 'minute' },
];
const RUNS = 2 + 2 * SHIFTS.length + TIMING_RUNS;
// Drivers read the clock to measure statements, which is no problem of the source.
const DRIVERS = /[\\/]node_modules[\\/](typeorm|pg|pg-pool|mariadb|mysql2|better-sqlite3)[\\/]/;

/** Runs all sources on entities of the database, and returns the problems. */
export async function lintSources(spark: Spark, now: number, limit: number): Promise<SourceProblem[]> {
  const problems: SourceProblem[] = [];
  const owners: Owners = new Map();
  for (const source of spark.sources.all()) {
    const found = await lintSource(spark, source, now, limit, owners).catch((error: unknown) => [
      unreadable(source, error),
    ]);
    problems.push(...found);
  }
  return problems;
}

/** The first entity with each key. */
type Owners = Map<string, string>;

function copiesOf(spark: Spark, source: Source, limit: number): Promise<Subject[][][]> {
  return withRunner(spark.dataSource.manager, async ({ manager }) => {
    const keys = await pageOfKeys(manager, source, { after: undefined, limit });
    const copies: Subject[][][] = [];
    while (copies.length < RUNS) {
      const all = await readSubjects(manager, source, keys);
      copies.push(source.options.batch ? [all] : all.map((one) => [one]));
    }
    return copies;
  });
}

async function lintSource(spark: Spark, source: Source, now: number, limit: number, owners: Owners) {
  const { batch } = source.options;
  const copies = await copiesOf(spark, source, limit);
  const problems: SourceProblem[] = [];
  for (const [i, [first]] of copies[0]!.entries()) {
    if (!first) continue;
    // A source may change its entities, so each run gets entities of its own.
    const own = copies.map((pages) => pages[i]!.map(({ entity }) => entity)).values();
    const run: Run = async (instant) => {
      const entities = own.next().value!;
      const events = await eventsOf(source, batch ? entities : entities[0], { now: new Date(instant) });
      for (const event of events) refuse(event, source);
      return distinct(events);
    };
    const entity = `${source.metadata.name} ${first.ref.id}`;
    const ownerBeside = batch ? undefined : (key: string) => ownerOf(owners, key, entity);
    const isSwept = spark.settings.sweep !== undefined;
    const problem = await problemOf(run, now, { ownerBeside, isSwept }).catch(saidOf);
    if (problem !== undefined) problems.push({ source: source.name, entity, problem });
  }
  return problems;
}

function saidOf(error: unknown): string {
  if (error instanceof Refused) return `it yields an event that cannot be entered: ${error.message}`;
  return `it throws: ${textOf(error).split('\n')[0]}`;
}

function refuse(event: SparkEvent, source: Source): void {
  const reason = checkEvent(event) ?? (lasts(event) ? flawInSource(source) : undefined);
  if (reason === NEVER) return;
  if (reason !== undefined) throw new Refused(reason);
  try {
    checkContext(event);
  } catch (error) {
    throw new Refused(messageOf(error));
  }
}

/** Events by their names. Throws Refused when two of them repeat and have one name: of an instant that both have, only one would happen. */
function distinct(events: readonly SparkEvent[]): Yielded {
  const named = new Map<string, SparkEvent>();
  for (const event of events) {
    const name = nameOf(event);
    if (named.has(name) && repeats(event))
      throw new Refused(`two events that repeat have the key ${event.key}. Give each a group of its own.`);
    named.set(name, event);
  }
  return named;
}

/** The key of an event. That of an event that repeats has its first instant, because all its keys depend on that. */
const nameOf = (event: SparkEvent): string =>
  repeats(event) && !isUnset(event.schedule) ? `${event.key} from ${event.schedule.from!.toISOString()}` : event.key;

/** An event that cannot be entered. */
class Refused extends Error {}

/** Another entity with the same key, if there is one. */
function ownerOf(owners: Owners, key: string, entity: string): string | undefined {
  const owner = owners.get(key);
  if (owner === undefined) owners.set(key, entity);
  return owner === entity ? undefined : owner;
}

function unreadable({ name, metadata }: Source, error: unknown): SourceProblem {
  return {
    source: name,
    entity: metadata.name,
    problem: `its entities cannot be read: ${textOf(error).split('\n')[0]}`,
  };
}

/** What a check needs besides the source. */
interface Surroundings {
  /** Returns another entity with the same key. */
  readonly ownerBeside: ((key: string) => string | undefined) | undefined;
  /** Whether sweeps are scheduled. */
  readonly isSwept: boolean;
}

async function problemOf(run: Run, now: number, { ownerBeside, isSwept }: Surroundings): Promise<string | undefined> {
  const { keys, asks } = await watched(run, now);
  for (const { key } of keys.values()) {
    const other = ownerBeside?.(key);
    if (other !== undefined)
      return `it yields ${key}, and a source yields the same key for ${other}: one of the two events is lost. Give the events of each entity groups of their own.`;
  }
  const again = await run(now);
  const unstable = missingIn(again, keys) ?? missingIn(keys, again);
  if (unstable !== undefined)
    return `it yields ${unstable} in one run and not in another. Derive keys from the entity alone.`;
  for (const { by, unit } of SHIFTS) {
    const others = [await run(now - by), await run(now + by)];
    const timed = [...keys].find((event) => others.every((other) => isReplaced(event, keys, other)));
    if (timed)
      return (
        `it yields ${timed[0]}, and another key a ${unit} before and after. ` +
        `The time must not be part of a key, nor of from; use every for events that repeat.`
      );
  }
  if (asks)
    return 'it reads the clock of the process. Use scope.now: it is one instant for all events of a run, and tests can move it.';
  return (await lostOf(run, now, keys)) ?? (isSwept ? undefined : undrivenOf(run, now, keys));
}

async function watched(run: Run, now: number) {
  let asks = false;
  const restore = watchClock(() => (asks ||= !DRIVERS.test(new Error().stack ?? '')));
  try {
    const keys = await run(now);
    return { keys, asks };
  } finally {
    restore();
  }
}

const missingIn = (some: Yielded, others: Yielded): string | undefined =>
  [...others.keys()].find((key) => !some.has(key));
