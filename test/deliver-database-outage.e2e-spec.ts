import { Injectable } from '@nestjs/common';
import { GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Injectable()
class Handlers {
  readonly calls: string[] = [];
  before = async () => {};

  @GroupHandler(/^thing/, { name: 'thing', backoff: () => 20 })
  async handle({ key }: SparkEvent) {
    this.calls.push(key);
    await this.before();
    if (key === 'thing_fails' && this.calls.length === 1) throw new Error('on purpose');
  }
}

describe.each(databases)('deliveries survive their database, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let other: TestApp;
  let handlers: Handlers;

  beforeEach(async () => {
    db = await database.create();
    other = await startApp({ database: db, entities: [], spark: { worker: false } });
    app = await startApp({
      database: db,
      entities: [],
      providers: [Handlers],
      spark: { worker: { pollInterval: '20ms', leaseRenewal: '50ms' } },
    });
    handlers = app.app.get(Handlers);
  });
  afterEach(async () => {
    await app.close();
    await other.close();
    await db.drop();
  });

  const rename = (from: string, to: string) => other.dataSource.query(`ALTER TABLE ${from} RENAME TO ${to}`);
  const ended = async () => {
    for (let i = 0; i < 500; i++) {
      const [row] = await other.dataSource.query('SELECT state, attempt FROM spark_delivery');
      if (row?.state === 'completed') return Number(row.attempt);
      await delay(10);
    }
    throw new Error('never completed');
  };

  /** The table cannot be written for a while, from when the handler runs. */
  const away = (table: string) => {
    let back: Promise<unknown> | undefined;
    handlers.before = async () => {
      if (back) return;
      await rename(table, 'away');
      back = delay(400).then(() => rename('away', table));
    };
    return () => back;
  };

  it('that is away when one is completed: it is completed later, and not handled twice', async () => {
    const back = away('spark_delivery');
    await app.spark.emit(sparkEvent('thing', 'ends'));
    while (!back()) await delay(10);
    await back();
    expect(await ended()).toBe(1);
    expect(handlers.calls).toEqual(['thing_ends']);
  });

  it('that is away when one has failed: it is tried again later', async () => {
    const back = away('spark_delivery');
    await app.spark.emit(sparkEvent('thing', 'fails'));
    while (!back()) await delay(10);
    await back();
    expect(await ended()).toBe(2);
    expect(handlers.calls).toEqual(['thing_fails', 'thing_fails']);
  });

  /** Loses the answer of the commit by which a delivery comes to be in a state, once, while something is done. */
  const losing = async (state: string, work: () => Promise<void>, then = async () => {}) => {
    let lost = 0;
    const lose = async () => {
      if (lost++ > 0) return;
      await then();
      throw new Error('no answer');
    };
    const { subscribers } = app.dataSource;
    subscribers.push({
      afterTransactionCommit: async () => {
        const [row] = await other.dataSource.query('SELECT state FROM spark_delivery');
        if (row?.state === state) await lose();
      },
    });
    // On PostgreSQL it is one statement, without a transaction that could be listened to.
    const { query } = pg.Client.prototype;
    pg.Client.prototype.query = function (this: pg.Client, ...given: any[]): any {
      const answer: any = Reflect.apply(query, this, given);
      const sql: string = given[0]?.text ?? given[0];
      if (!sql.includes(`SET state = '${state}'`)) return answer;
      return answer.then(async (result: pg.QueryResult) => {
        if (result.rows.length > 0) await lose();
        return result;
      });
    };
    try {
      await work();
    } finally {
      pg.Client.prototype.query = query;
      subscribers.pop();
    }
    expect(lost).toBeGreaterThan(0);
  };
  const CLAIM = 'running';
  const COMPLETION = 'completed';

  it('that answered nothing when one was claimed: it is given back, and claimed again', async () => {
    await losing(CLAIM, async () => {
      await app.spark.emit(sparkEvent('thing', 'claimed'));
      expect(await ended()).toBe(1);
    });
    expect(handlers.calls).toEqual(['thing_claimed']);
  });

  it('that answered nothing when one was claimed by a process that ends: it is free at once, and not charged', async () => {
    let closed: Promise<void> | undefined;
    const close = async () => {
      closed = app.close();
      // By then it claims no more.
      await delay(50);
    };
    const work = async () => {
      await app.spark.emit(sparkEvent('thing', 'claimed'));
      await vi.waitFor(() => expect(closed).toBeDefined(), 5_000);
      await closed;
    };
    await losing(CLAIM, work, close);
    expect(await other.dataSource.query('SELECT state, attempt FROM spark_delivery')).toEqual([
      { state: 'available', attempt: 0 },
    ]);
    expect(handlers.calls).toEqual([]);
  });

  it('that answered nothing when one was completed: it is completed, not handled twice, and reported as done', async () => {
    const reports: string[] = [];
    app.spark.deliveries$.subscribe(({ key, state }) => reports.push(`${key} ${state}`));
    await losing(COMPLETION, async () => {
      await app.spark.emit(sparkEvent('thing', 'done'));
      expect(await ended()).toBe(1);
      await app.spark.drain();
    });
    expect(reports).toEqual(['thing_done completed']);
    expect(handlers.calls).toEqual(['thing_done']);
    expect(app.logs.filter((line) => line.includes('taken over'))).toEqual([]);
  });

  it('that crashed and has forgotten a claim: it is handled again, and completed once', async () => {
    const reports: string[] = [];
    app.spark.deliveries$.subscribe(({ key, state }) => reports.push(`${key} ${state}`));
    let forgotten = false;
    handlers.before = async () => {
      if (forgotten) return delay(100);
      forgotten = true;
      await other.dataSource.query(`UPDATE spark_delivery SET state = 'available', attempt = 0, claimed_by = NULL`);
      while (handlers.calls.length < 2) await delay(10);
    };
    await app.spark.emit(sparkEvent('thing', 'forgotten'));
    expect(await ended()).toBe(1);
    await app.spark.drain();
    expect(handlers.calls).toEqual(['thing_forgotten', 'thing_forgotten']);
    expect(new Set(reports)).toEqual(new Set(['thing_forgotten completed']));
  });

  it.runIf(database.name === 'PostgreSQL')('whose other commits are on disk once they are made', async () => {
    await app.spark.emit(sparkEvent('thing', 'claimed'));
    expect(await ended()).toBe(1);
    const runners = Array.from({ length: 10 }, () => app.dataSource.createQueryRunner());
    const settings = await Promise.all(runners.map((runner) => runner.query('SHOW synchronous_commit')));
    await Promise.all(runners.map((runner) => runner.release()));
    expect(new Set(settings.map(([{ synchronous_commit: setting }]) => setting))).toEqual(new Set(['on']));
  });

  it.runIf(database.name === 'PostgreSQL')('which is not waited for by claims but those of suspects', async () => {
    await other.dataSource.query('CREATE TABLE claims (suspect int, waits text)');
    await other.dataSource.query(
      `CREATE FUNCTION note_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         INSERT INTO claims VALUES (OLD.suspect, current_setting('synchronous_commit')); RETURN NEW; END $$`,
    );
    await other.dataSource.query(
      `CREATE TRIGGER note_claim BEFORE UPDATE ON spark_delivery FOR EACH ROW WHEN (NEW.state = 'running')
       EXECUTE FUNCTION note_claim()`,
    );
    await app.spark.emit(sparkEvent('thing', 'claimed'));
    expect(await ended()).toBe(1);
    await other.dataSource.query(
      `UPDATE spark_delivery SET state = 'available', attempt = 0, suspect = 1, finished_at = NULL, claimed_by = NULL`,
    );
    expect(await ended()).toBe(1);
    expect(await other.dataSource.query('SELECT suspect, waits FROM claims ORDER BY suspect')).toEqual([
      { suspect: 0, waits: 'off' },
      { suspect: 1, waits: 'on' },
    ]);
  });

  it('that is away when a process takes its first lease', async () => {
    await rename('spark_worker', 'away');
    await app.spark.emit(sparkEvent('thing', 'first'));
    await delay(200);
    expect(handlers.calls).toEqual([]);
    await rename('away', 'spark_worker');
    expect(await ended()).toBe(1);
  });
});
