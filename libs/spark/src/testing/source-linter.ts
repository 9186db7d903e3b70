import { withRunner } from '../database/statement.js';
import { SparkError } from '../error/spark.error.js';
import { textOf } from '../error/text-of.js';
import { checkEvent, NEVER } from '../event/event-check.js';
import type { SparkEvent } from '../event/spark-event.js';
import { eventsOf, type Source } from '../source/source.js';
import { pageOfKeys, readSubjects, type Subject } from '../entity/subjects.js';
import { watchClock } from '../inspect/clock-reads.js';
import type { Spark } from '../runtime/create-spark.js';

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

/** The entity that was first seen to have a key. */
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
    // A source may change what it is given: each run gets entities of its own.
    const own = copies.map((pages) => pages[i]!.map(({ entity }) => entity)).values();
    const run: Run = async (instant) => {
      const entities = own.next().value!;
      const events = await eventsOf(source, batch ? entities : entities[0], { now: new Date(instant) });
      for (const event of events) refuse(event);
      return new Map(events.map(({ key, group }) => [key, group]));
    };
    const entity = `${source.metadata.name} ${first.ref.id}`;
    const problem = await problemOf(run, now, batch ? undefined : (key) => ownerOf(owners, key, entity)).catch(saidOf);
    if (problem !== undefined) problems.push({ source: source.name, entity, problem });
  }
  return problems;
}

function saidOf(error: unknown): string {
  if (error instanceof Refused) return `it yields an event that cannot be entered: ${error.message}`;
  return `it throws: ${textOf(error).split('\n')[0]}`;
}

function refuse(event: SparkEvent): void {
  const reason = checkEvent(event);
  if (reason !== undefined && reason !== NEVER) throw new Refused(reason);
}

/** An event that cannot be entered. */
class Refused extends Error {}

/** Another entity that has the key, too. */
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

/** The keys that a source yields for an instant, and their groups. Future events count as well: they are what it will say. */
type Run = (instant: number) => Promise<ReadonlyMap<string, string>>;

async function problemOf(
  run: Run,
  now: number,
  ownerBeside?: (key: string) => string | undefined,
): Promise<string | undefined> {
  const { keys, asks } = await watched(run, now);
  for (const key of keys.keys()) {
    const other = ownerBeside?.(key);
    if (other !== undefined)
      return `it yields ${key}, and so does a source at ${other}: one of them is lost. Give each entity's events groups of their own.`;
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
        `The time must not be part of a key; eachDay, eachWeek … are for that.`
      );
  }
  if (!asks) return undefined;
  return 'it asks the clock of the process. Use scope.now: one instant for all that is derived at once, and tests can move it.';
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

const missingIn = (some: ReadonlyMap<string, string>, others: ReadonlyMap<string, string>): string | undefined =>
  [...others.keys()].find((key) => !some.has(key));

/** Whether another key of the group stands in place of this one: what only came or went with the time has no successor. */
function isReplaced(
  [key, group]: [string, string],
  beside: ReadonlyMap<string, string>,
  others: ReadonlyMap<string, string>,
) {
  if (others.has(key)) return false;
  return [...others].some(([other, ofGroup]) => ofGroup === group && !beside.has(other));
}
