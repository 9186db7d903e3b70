import { Logger } from '@nestjs/common';
import type { DataSource, QueryRunner } from 'typeorm';
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
 * Lets no statement that Spark itself sends on a DataSource wait for longer than a limit. A connection that misses it is
 * dropped. SQLite needs none: its driver answers at once.
 */
export class StatementDeadline {
  private readonly logger = new Logger('Spark');
  private readonly waiting = new Set<Waiting>();
  /** What dropped connections have left on the server. */
  readonly orphans = new OrphanedSessions(() => guarded(this.dataSource.createQueryRunner('master')));
  private logged: 'silent' | 'busy' | undefined;
  /** When the last silence was over, by the process's own clock. */
  private over = -Infinity;

  constructor(
    private readonly dataSource: DataSource,
    private limit: number,
    /** Whether misses are logged: once, and once more when they are over. */
    private readonly isLogging = true,
  ) {
    if (dataSource.options.type !== 'better-sqlite3') deadlines.set(dataSource, this);
  }

  /** Whether the last statement that Spark sent got no answer. */
  get isSilent(): boolean {
    return this.logged === 'silent';
  }

  /** From now on, and for what waits already, the limit is no longer than so many milliseconds. */
  shorten(limit: number): void {
    this.limit = Math.min(this.limit, limit);
    for (const waiting of this.waiting) {
      clearTimeout(waiting.timer);
      waiting.timer = setTimeout(waiting.miss, this.limit);
    }
  }

  /** Ends all connections where the database does not answer: what waits for them to end would wait for ever. */
  async dropIfSilent(): Promise<void> {
    if (deadlines.get(this.dataSource) !== this || !this.dataSource.isInitialized) return;
    const runner = guarded(this.dataSource.createQueryRunner('master'));
    try {
      if (!this.isSilent) await runner.query('SELECT 1');
    } catch {
      // Said already, or not for this to say.
    } finally {
      await runner.release();
    }
    if (this.isSilent) dropAll(this.dataSource, new NoAnswerError(this.limit));
  }

  /** The answer of work; `missed` is called, and its error thrown, when there is none in time. */
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
        // What was sent before it was over is of the same silence.
        if (started > this.over) this.log(error);
        reject(error);
      };
      // An answer that came while this process was busy or stopped is there, but not read yet.
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
    if (this.isLogging) this.logger.warn(`${error.message} This is said once, and once more when it is over.`);
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

/** A query runner whose statements are Spark's own: none of them waits for longer than the deadline of its DataSource. */
export function guarded(runner: QueryRunner): QueryRunner {
  const deadline = deadlines.get(runner.dataSource);
  if (deadline && !guards.has(runner)) guards.set(runner, new Guard(runner, deadline));
  return runner;
}

/** Waits for an answer on a runner, up to the deadline where it is guarded. */
export function answerOf<T>(runner: QueryRunner, work: () => Promise<T>): Promise<T> {
  const guard = guards.get(runner);
  return guard ? guard.answer(work) : work();
}

/** Runs work whose statements on the runner are no business of Spark's: they have no deadline. */
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

/** Runs work whose statements on the runner may take so many milliseconds, or longer where the deadline of its DataSource is later. */
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

/** Stands before the statements of one query runner. */
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
    // One whose connection is still being made is released once it is there.
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
