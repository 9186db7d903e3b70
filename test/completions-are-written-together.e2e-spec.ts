import { Injectable } from '@nestjs/common';
import { GroupHandler, type HandlerScope, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { describe, expect, it, vi } from 'vitest';
import { startApp } from './support/app.js';
import { databases } from './support/databases.js';
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

  it('and what comes one after the other is claimed together', async () => {
    handled.length = 0;
    const db = await database.create();
    const log = new QueryLog();
    const app = await startApp({ database: db, entities: [], providers: [Handlers], dataSource: { logger: log } });
    const started = Date.now();
    for (let i = 0; i < 300; i++) await app.spark.emit(sparkEvent('thing', i));
    await vi.waitFor(() => expect(handled).toHaveLength(300), 30_000);
    const claims = log.statements.filter((statement) => statement.includes(`SET state = 'running'`));
    expect(claims.length).toBeGreaterThan(0);
    expect(claims.length).toBeLessThan((Date.now() - started) / 5 + 10);
    await app.close();
    await db.drop();
  });
});
