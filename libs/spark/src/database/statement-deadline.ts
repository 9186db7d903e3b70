import type { DataSource, QueryRunner } from 'typeorm';
import { SparkLog } from '../common/spark-log.js';
import { NoAnswerError, NoConnectionError } from '../error/no-answer.error.js';
import { connecting, dropAll, dropConnection, dropIdle } from './driver-connections.js';
import { OrphanedSessions, sessionOf } from './orphaned-sessions.js';

const deadlines = new WeakMap<DataSource, StatementDeadline>();
const guards = new WeakMap<QueryRunner, Guard>();

/** A statement that waits for its answer. */
interface Waiting {
  readonly miss: () => void;
  timer: NodeJS.Timeout;
}

/**
 * Limits how long a statement of Spark's own waits for an answer. A connection that does not answer in time is dropped. SQLite needs no
 * limit: its driver answers at once.
 */
export class StatementDeadline {
  private readonly logger = new SparkLog();
  private readonly waiting = new Set<Waiting>();
  /** Sessions of dropped connections on the server. */
  readonly orphans = new OrphanedSessions(() => guarded(this.dataSource.createQueryRunner('master')));
  private logged: 'silent' | 'busy' | undefined;
  /** When the last silence ended, by the process's monotonic clock. */
  private over = -Infinity;

  constructor(
    private readonly dataSource: DataSource,
    private limit: number,
    /** Whether silence is logged: once when it begins, and once when it ends. */
    private readonly isLogging = true,
  ) {
    if (dataSource.options.type !== 'better-sqlite3') deadlines.set(dataSource, this);
  }

  /** Whether the last statement that Spark sent got no answer. */
  get isSilent(): boolean {
    return this.logged === 'silent';
  }

  /** Lowers the limit to so many milliseconds, for statements that wait already, too. */
  shorten(limit: number): void {
    this.limit = Math.min(this.limit, limit);
    for (const waiting of this.waiting) {
      clearTimeout(waiting.timer);
      waiting.timer = setTimeout(waiting.miss, this.limit);
    }
  }

  /** Ends all connections if the database does not answer. Otherwise, a shutdown would wait for ever for them to end. */
  async dropIfSilent(): Promise<void> {
    if (deadlines.get(this.dataSource) !== this || !this.dataSource.isInitialized) return;
    const runner = guarded(this.dataSource.createQueryRunner('master'));
    try {
      if (!this.isSilent) await runner.query('SELECT 1');
    } catch {
      // A silence is logged elsewhere. Other errors do not matter here.
    } finally {
      await runner.release();
    }
    if (this.isSilent) dropAll(this.dataSource, new NoAnswerError(this.limit));
  }

  /**
   * Runs work and returns its answer.
   *
   * @param missed called when there is no answer in time; its error is thrown
   * @param atLeast the lowest limit for this work, in milliseconds
   */
  within<T>(work: () => Promise<T>, missed: (waited: number) => NoAnswerError, atLeast = 0): Promise<T> {
    const limit = Math.max(this.limit, atLeast);
    return new Promise((resolve, reject) => {
      const started = performance.now();
      const end = () => {
        clearTimeout(waiting.timer);
        this.waiting.delete(waiting);
      };
      const giveUp = () => {
        if (!this.waiting.has(waiting)) return;
        end();
        const error = missed(Math.round(performance.now() - started));
        // A statement from before the end of the last silence belongs to that silence, which is logged already.
        if (started > this.over) this.log(error);
        reject(error);
      };
      // An answer may have arrived while this process was busy or stopped. It is read before setImmediate runs.
      const miss = () => void setImmediate(giveUp);
      const waiting: Waiting = { miss, timer: setTimeout(miss, limit) };
      this.waiting.add(waiting);
      const answered = (answer: T) => {
        if (this.waiting.has(waiting)) this.logOver();
        return resolve(answer);
      };
      work().then(answered, reject).finally(end);
    });
  }

  private log(error: NoAnswerError): void {
    const state = error instanceof NoConnectionError && error.isBusy ? 'busy' : 'silent';
    // Only an answer ends silence.
    if (this.logged === state || this.logged === 'silent') return;
    this.logged = state;
    if (this.isLogging)
      this.logger.warn(`${error.message} Spark logs this once, and again when it is over.`, { state, error });
  }

  private logOver(): void {
    if (this.logged === undefined) return;
    if (this.isLogging)
      this.logger.log(
        this.logged === 'silent'
          ? 'The database answers Spark again.'
          : 'Spark gets connections to the database again.',
      );
    this.logged = undefined;
    this.over = performance.now();
    this.orphans.end();
  }
}

/** Makes all statements of a query runner Spark's own: the deadline of its DataSource limits how long they wait. */
export function guarded(runner: QueryRunner): QueryRunner {
  const deadline = deadlines.get(runner.dataSource);
  if (deadline && !guards.has(runner)) guards.set(runner, new Guard(runner, deadline));
  return runner;
}

/** Waits for an answer on a runner: up to the deadline, if the runner is guarded. */
export function answerOf<T>(runner: QueryRunner, work: () => Promise<T>): Promise<T> {
  const guard = guards.get(runner);
  return guard ? guard.answer(work) : work();
}

/** Runs work of the application on a guarded runner. Its statements have no deadline. */
export async function withoutDeadline<T>(runner: QueryRunner | undefined, work: () => Promise<T>): Promise<T> {
  const guard = runner && guards.get(runner);
  if (!guard) return work();
  guard.isOff = true;
  try {
    return await work();
  } finally {
    guard.isOff = false;
  }
}

/** Runs work whose statements may take at least so many milliseconds, or up to the deadline of the DataSource if that is longer. */
export async function withPatience<T>(
  runner: QueryRunner | undefined,
  atLeast: number,
  work: () => Promise<T>,
): Promise<T> {
  const guard = runner && guards.get(runner);
  if (!guard) return work();
  const { atLeast: before } = guard;
  guard.atLeast = atLeast;
  try {
    return await work();
  } finally {
    guard.atLeast = before;
  }
}

/** Adds the deadline to all statements of one query runner. */
class Guard {
  isOff = false;
  atLeast = 0;
  private missed: NoAnswerError | undefined;

  constructor(
    private readonly runner: QueryRunner,
    private readonly deadline: StatementDeadline,
  ) {
    const query = runner.query.bind(runner) as (...given: unknown[]) => Promise<any>;
    const release = runner.release.bind(runner);
    runner.query = (...given: unknown[]) => this.answer(() => query(...given), given[0]);
    // A runner that is still connecting is released once it is connected.
    runner.release = () => (this.missed instanceof NoConnectionError ? this.releaseLater(release) : release());
  }

  async answer<T>(work: () => Promise<T>, statement?: unknown): Promise<T> {
    if (this.isOff) return work();
    if (this.missed) throw this.missed;
    let begun: ReturnType<typeof connecting> = [];
    const run = async () => {
      const answer = work();
      if (!this.isConnected) begun = connecting(this.runner.dataSource);
      return answer;
    };
    const missed = (waited: number) => (this.missed = this.miss(waited, begun, statement));
    return this.deadline.within(run, missed, this.atLeast);
  }

  private get isConnected(): boolean {
    return (this.runner as { databaseConnection?: unknown }).databaseConnection !== undefined;
  }

  private miss(waited: number, begun: ReturnType<typeof connecting>, statement: unknown): NoAnswerError {
    const { runner } = this;
    if (!this.isConnected) {
      const error = new NoConnectionError(waited, begun.length === 0);
      for (const drop of begun) drop(error);
      return error;
    }
    const error = new NoAnswerError(waited, typeof statement === 'string' ? statement : undefined);
    const session = sessionOf(runner);
    dropConnection(runner, error);
    dropIdle(runner.dataSource, error);
    this.deadline.orphans.add(session);
    return error;
  }

  private async releaseLater(release: () => Promise<void>): Promise<void> {
    this.runner.connect().then(release, () => undefined);
  }
}
