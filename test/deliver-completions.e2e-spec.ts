import { Injectable } from '@nestjs/common';
import { type DeliveryReport, GroupHandler, type HandlerScope, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { QueryLog } from './support/query-log.js';

const handled: string[] = [];

@Injectable()
class Handlers {
  @GroupHandler(/./, { name: 'quick' })
  handle({ key }: SparkEvent) {
    handled.push(key);
  }
}

@Injectable()
class Together {
  private readonly waiting: (() => void)[] = [];

  /** The first one fails once. Then both end at the same moment, each at an attempt of its own. */
  @GroupHandler(/./, { name: 'together', backoff: () => 10 })
  async handle({ key }: SparkEvent, { attempt }: HandlerScope) {
    handled.push(key);
    if (key === 'thing_1' && attempt === 1) throw new Error('on purpose');
    const ended = new Promise<void>((resolve) => this.waiting.push(resolve));
    if (this.waiting.length === 2) for (const end of this.waiting) end();
    await ended;
  }
}

@Injectable()
class Letters {
  @GroupHandler(/^bad/, { name: 'bad', maxAttempts: 1 })
  fail() {
    throw new Error('no postage 😀');
  }

  @GroupHandler(/^good/, { name: 'good' })
  succeed() {}
}

/** Lets the database refuse certain texts in the column of errors, as one of another character set does. */
const refusals: Record<string, string[]> = {
  SQLite: [
    `CREATE TRIGGER refuse BEFORE UPDATE ON spark_delivery WHEN NEW.last_error GLOB '*{text}*'
     BEGIN SELECT RAISE(ABORT, 'incorrect string value'); END`,
  ],
  PostgreSQL: [`ALTER TABLE spark_delivery ADD CHECK (last_error NOT LIKE '%{text}%')`],
  MariaDB: [`ALTER TABLE spark_delivery ADD CONSTRAINT refuse CHECK (last_error NOT LIKE '%{text}%')`],
};

describe.each(databases)('completions are written together, on $name', (database) => {
  it.each([
    [true, /^\s*UPDATE \S*spark_delivery\S*.* SET state = 'completed'/s],
    [false, /^\s*(?:WITH gone AS \()?DELETE FROM \S*spark_delivery/],
  ])('in few statements, history: %s', async (history, completion) => {
    handled.length = 0;
    const db = await database.create();
    const log = new QueryLog();
    const spark = { worker: { concurrency: 50, pollInterval: '1h' }, history };
    const app = await startApp({
      database: db,
      entities: [],
      providers: [Handlers],
      spark,
      dataSource: { logger: log },
    });
    await app.spark.emit(Array.from({ length: 500 }, (_, i) => sparkEvent('thing', i)));
    await app.spark.drain();
    expect(new Set(handled).size).toBe(500);
    expect(await app.dataSource.query(`SELECT id FROM spark_delivery WHERE state <> 'completed'`)).toEqual([]);
    const statements = log.statements.filter((statement) => completion.test(statement));
    await app.close();
    await db.drop();
    expect(statements.length).toBeGreaterThan(0);
    expect(statements.length).toBeLessThan(100);
  });

  it('also those that are at different attempts', async () => {
    handled.length = 0;
    const db = await database.create();
    const spark = { worker: { pollInterval: '20ms' } };
    const app = await startApp({ database: db, entities: [], providers: [Together], spark });
    await app.spark.emit([sparkEvent('thing', 1), sparkEvent('thing', 2)]);
    const ended = async () =>
      expect(await app.dataSource.query('SELECT state, attempt FROM spark_delivery ORDER BY attempt')).toEqual([
        { state: 'completed', attempt: 1 },
        { state: 'completed', attempt: 2 },
      ]);
    await vi.waitFor(ended, 5_000);
    expect(handled.toSorted()).toEqual(['thing_1', 'thing_1', 'thing_2']);
    await app.close();
    await db.drop();
    expect(app.logs.filter((line) => line.includes('taken over'))).toEqual([]);
  });

  it.skipIf(database.name === 'PostgreSQL')('and what comes one after the other is claimed together', async () => {
    handled.length = 0;
    const db = await database.create();
    const log = new QueryLog();
    const claimed: number[] = [];
    // Elsewhere than on PostgreSQL, this statement is sent only if there is something to claim.
    vi.spyOn(log, 'logQuery').mockImplementation((sql) => {
      if (sql.includes(`SET state = 'running'`)) claimed.push(performance.now());
    });
    // With a slot for each no claim is full, and claims that are not full come once in 5 ms; two may come one after the other.
    const spark = { worker: { concurrency: 300 } };
    const app = await startApp({
      database: db,
      entities: [],
      providers: [Handlers],
      spark,
      dataSource: { logger: log },
    });
    let emitted = 0;
    while (emitted < 200 || claimed.length < 10) await app.spark.emit(sparkEvent('thing', emitted++));
    await vi.waitFor(() => expect(handled).toHaveLength(emitted), 30_000);
    await app.close();
    await db.drop();
    const pauses = claimed.slice(2).map((time, i) => time - claimed[i]!);
    // A timer may be early by a millisecond.
    expect(Math.min(...pauses)).toBeGreaterThan(3.9);
  });
});

describe.each(databases)('an end that cannot be written down blocks nobody, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let reports: DeliveryReport[];

  beforeEach(async () => {
    db = await database.create();
    reports = [];
    const worker = { concurrency: 4, pollInterval: '50ms', leaseTtl: '2s', leaseRenewal: '300ms' };
    app = await startApp({ database: db, entities: [], providers: [Letters], spark: { worker } });
    app.spark.deliveries$.subscribe((report) => reports.push(report));
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const refuse = async (text: string) => {
    for (const sql of refusals[database.name]!) await app.dataSource.query(sql.replace('{text}', text));
  };
  const bad = Array.from({ length: 12 }, (_, i) => sparkEvent('bad', i));
  const good = Array.from({ length: 4 }, (_, i) => sparkEvent('good', i));

  it('an error with characters that the column cannot hold is kept without them', async () => {
    await refuse('😀');
    await app.spark.emit(bad);
    await app.spark.emit(good);
    await vi.waitFor(() => expect(reports).toHaveLength(16), 20_000);
    const rows = await app.dataSource.query(
      `SELECT handler, state, last_error FROM spark_delivery ORDER BY handler DESC, id`,
    );
    expect(rows.map((row: any) => row.state)).toEqual([...good.map(() => 'completed'), ...bad.map(() => 'discarded')]);
    expect(rows.at(-1).last_error).toContain('Error: no postage ?');
  });

  it('an error that the column refuses in any form is left to the log', async () => {
    await refuse('postage');
    await app.spark.emit(bad);
    await app.spark.emit(good);
    await vi.waitFor(() => expect(reports).toHaveLength(16), 20_000);
    const rows = await app.dataSource.query(`SELECT state, last_error FROM spark_delivery WHERE handler = 'bad'`);
    expect(rows).toEqual(
      bad.map(() => ({ state: 'discarded', last_error: 'the database refuses the text of its error; the log has it' })),
    );
    expect(app.logs.join('\n')).toContain('Error: no postage');
    // They are of one kind all the same.
    expect((await app.spark.errors()).records).toMatchObject([{ handler: 'bad', deliveries: bad.length }]);
  });
});
