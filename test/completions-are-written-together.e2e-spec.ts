import { Injectable } from '@nestjs/common';
import { GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
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

describe.each(databases)('completions are written together, on $name', (database) => {
  it.each([
    [true, /^\s*UPDATE \S*spark_delivery\S*.* SET state = 'completed'/s],
    [false, /^\s*DELETE FROM \S*spark_delivery/],
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
