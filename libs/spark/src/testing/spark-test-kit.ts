import type { INestApplicationContext } from '@nestjs/common';
import { select } from '../database/statement.js';
import type { Page, PageRequest } from '../inspect/records.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { getSparkToken } from '../inject-spark.decorator.js';
import type { Spark } from '../runtime/create-spark.js';
import type { Duration } from '../config/spark.options.js';
import type { SparkService } from '../spark.service.js';
import { parseDuration } from '../config/option-parsers.js';
import { lintSources, SourceLintError } from './source-linter.js';
import { instantOf, TestClock } from './test-clock.js';

/** A delivery, with the fields that tests need. */
export interface TestDelivery {
  readonly key: string;
  readonly group: string;
  readonly handler: string;
  /** `available`, `running`, `completed`, `skipped`, `discarded` or `held`. */
  readonly state: string;
  /** How many attempts it has had. */
  readonly attempt: number;
  /** When its next attempt is due, or its last one was. */
  readonly dueAt: Date;
  /** Why it failed, or was skipped or discarded; null if it did not. */
  readonly error: string | null;
}

/**
 * Lets a test decide when Spark works: days pass in milliseconds. The application must have a {@link TestClock} in place of
 * `SPARK_CLOCK`.
 *
 * @example
 * const kit = new SparkTestKit(app);
 * await challenges.create({ endDate: addDays(kit.clock.date, 3) });
 * await kit.advance('3d');
 * expect(await kit.deliveries('challenge-mails')).toMatchObject([
 *   { key: 'challenge_created_1', state: 'completed' }, { key: 'challenge_ended_1', state: 'completed' }]);
 */
export class SparkTestKit {
  /** The service under test. */
  readonly spark: SparkService;
  readonly clock: TestClock;
  private readonly parts: Spark;

  /**
   * @param app the application or testing module, initialised
   * @param dataSource the name of the SparkModule's DataSource; default: the unnamed one
   * @throws InvalidOptionsError when the clock is not a TestClock
   */
  constructor(app: INestApplicationContext, dataSource?: string) {
    this.spark = app.get<SparkService>(getSparkToken(dataSource), { strict: false });
    this.parts = (this.spark as unknown as { spark: Spark }).spark;
    const { clock } = this.parts;
    if (!(clock instanceof TestClock))
      throw new InvalidOptionsError(
        'SPARK_CLOCK',
        clock,
        'a TestClock: .overrideProvider(SPARK_CLOCK).useValue(clock)',
      );
    this.clock = clock;
  }

  /**
   * Works off all due rechecks and handles all due deliveries, until none is left at this instant.
   *
   * @example
   * await challenges.donate(id, 500);
   * await kit.drain();
   */
  async drain(): Promise<void> {
    await this.spark.drain();
  }

  /**
   * Lets time pass. It moves the clock to each instant at which a recheck or a delivery is due, in order, and works there. At the end,
   * `retention` removes old rows. Scheduled sweeps do not run; call `kit.spark.sweep()`.
   *
   * @param by how much time passes, in ms or as text such as `'3d'`
   * @throws InvalidOptionsError when that is not a duration above 0: time does not go backwards
   *
   * @example
   * await kit.advance('3d');
   */
  async advance(by: Duration): Promise<void> {
    await this.advanceTo(this.clock.now() + parseDuration('advance', by));
  }

  /**
   * Lets time pass up to an instant, as {@link advance} does.
   *
   * @param to the instant: a Date, ISO text or epoch ms
   * @throws ClockBackwardsError when the instant is in the past of the clock; InvalidOptionsError when it is not an instant
   *
   * @example
   * await kit.advanceTo('2026-10-25T03:00:00+01:00'); // clocks have just gone back
   */
  async advanceTo(to: Date | string | number): Promise<void> {
    const end = instantOf(to);
    await this.drain();
    for (let next = await this.nextDue(end); next !== undefined; next = await this.nextDue(end)) {
      this.clock.set(next);
      await this.drain();
    }
    this.clock.set(end);
    await this.drain();
    await this.parts.retention.prune(end);
  }

  /**
   * The keys of the events in the ledger, the oldest first.
   *
   * @example
   * expect(await kit.events()).toEqual(['challenge_created_1', 'challenge_ended_1']);
   */
  async events(): Promise<string[]> {
    const events = await all((page) => this.spark.events({}, page));
    return events.map(({ key }) => key);
  }

  /**
   * The deliveries, those of the oldest events first.
   *
   * @param handler the name of the handler whose deliveries are returned; default: those of all handlers
   *
   * @example
   * expect(await kit.deliveries('challenge-mails')).toMatchObject([{ group: 'challenge_created', state: 'completed' }]);
   */
  async deliveries(handler?: string): Promise<TestDelivery[]> {
    const deliveries = await all((page) => this.spark.deliveries(handler === undefined ? {} : { handler }, page));
    return deliveries.map(({ event: { key, group }, handler: name, state, attempt, due: dueAt, error = null }) => {
      return { key, group, handler: name, state, attempt, dueAt, error };
    });
  }

  /**
   * Checks that the sources are reliable. It runs every source on entities of the database, twice for the present instant, and for
   * instants that are a millisecond, a second and a minute away, and when the next dates of events have come. It finds keys that differ
   * between two runs, keys that contain the time, too many events, keys that two entities share, sources that read another clock than
   * `scope.now`, events that are not yielded any more when their date has come, and, if no sweep is scheduled, occurrences that nothing
   * would find, such as those of `eachDay`. It enters nothing. It replaces `Date` meanwhile, so let no other code run.
   *
   * @param options.limit how many entities of each source are checked; default: 100
   * @throws SourceLintError when a source is not reliable; it names all problems
   *
   * @example
   * await challenges.create({ endDate: addDays(kit.clock.date, 3) });
   * await kit.lint();
   */
  async lint({ limit = 100 } = {}): Promise<void> {
    const problems = await lintSources(this.parts, this.clock.now(), limit);
    if (problems.length > 0) throw new SourceLintError(problems);
  }

  /** The next instant after the present one at which a recheck or a delivery is due. */
  private async nextDue(end: number): Promise<number | undefined> {
    const { recheck, delivery } = this.parts.tables;
    const due = `due_at > :now AND due_at <= :end`;
    const rows = await this.select<{ due: string | null }>(
      `SELECT MIN(due_at) AS due FROM ${recheck} WHERE ${due}
       UNION ALL SELECT MIN(due_at) AS due FROM ${delivery} WHERE state = 'available' AND ${due}`,
      { now: this.clock.now(), end },
    );
    const instants = rows.flatMap((row) => (row.due === null ? [] : [Number(row.due)]));
    return instants.length === 0 ? undefined : Math.min(...instants);
  }

  private select<R>(sql: string, parameters: object = {}): Promise<R[]> {
    return select<R>(this.parts.dataSource.manager, sql, parameters);
  }
}

/** All records of a list, the oldest first. */
async function all<R>(list: (page: PageRequest) => Promise<Page<R>>): Promise<R[]> {
  const records: R[] = [];
  let page = await list({ limit: MOST });
  for (records.push(...page.records); page.next !== undefined; records.push(...page.records))
    page = await list({ limit: MOST, after: page.next });
  return records.toReversed();
}

const MOST = 1_000;
