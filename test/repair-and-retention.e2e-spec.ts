import { Injectable } from '@nestjs/common';
import { GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { QueryLog } from './support/query-log.js';

let broken = false;
const handled: string[] = [];

@Injectable()
class First {
  @GroupHandler(/^thing/, { name: 'first', maxAttempts: 1 })
  handle({ key }: SparkEvent) {
    if (broken) throw new Error('out of order');
    handled.push(`first ${key}`);
  }
}

@Injectable()
class Second {
  @GroupHandler(/^thing/, { name: 'second' })
  handle({ key }: SparkEvent) {
    handled.push(`second ${key}`);
  }
}

describe.each(databases)('what is done after a failure, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;

  beforeEach(async () => {
    db = await database.create();
    broken = false;
    handled.length = 0;
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const start = async (providers: any[], spark: object = {}, dataSource: object = {}) => {
    const options = { worker: { pollInterval: '1h' }, ...spark };
    app = await startApp({ database: db, entities: [], providers, spark: options, dataSource });
  };
  const restart = async (...args: Parameters<typeof start>) => {
    await app.close();
    await start(...args);
  };
  /** Does at once what one process does each minute. */
  const maintain = () =>
    (app.spark as unknown as { spark: { maintenance: { run(): Promise<number> } } }).spark.maintenance.run();
  const states = async () => {
    const rows = await app.dataSource.query('SELECT handler, state, attempt FROM spark_delivery ORDER BY handler, id');
    return rows.map((row: any) => `${row.handler} ${row.state} ${row.attempt}`) as string[];
  };

  it('retry: discarded deliveries are available again, those that are meant', async () => {
    await start([First]);
    broken = true;
    await app.spark.emit([sparkEvent('thing_a', 1), sparkEvent('thing_b', 1)]);
    await app.spark.drain();
    expect(await states()).toEqual(['first discarded 1', 'first discarded 1']);
    broken = false;
    expect(await app.spark.retry({ group: 'thing_b', handler: 'first' })).toBe(1);
    await app.spark.drain();
    expect(await states()).toEqual(['first discarded 1', 'first completed 1']);
    expect(await app.spark.retry()).toBe(1);
    await app.spark.drain();
    expect(handled).toEqual(['first thing_b_1', 'first thing_a_1']);
  });

  it('retry: what waits for its next try is due now', async () => {
    @Injectable()
    class Patient {
      @GroupHandler(/^thing/, { name: 'patient', backoff: () => '1h' })
      handle({ key }: SparkEvent) {
        if (broken) throw new Error('out of order');
        handled.push(key);
      }
    }
    await start([Patient]);
    broken = true;
    await app.spark.emit(sparkEvent('thing', 1));
    await app.spark.drain();
    broken = false;
    expect(await app.spark.retry({ handler: 'patient' })).toBe(1);
    await app.spark.drain();
    expect(handled).toEqual(['thing_1']);
    expect(await states()).toEqual(['patient completed 1']);
  });

  it('retry, replay: what is new does not wait behind what is done once more', async () => {
    await start([First], { worker: { pollInterval: '1h', concurrency: 1 } });
    broken = true;
    await app.spark.emit(Array.from({ length: 20 }, (_, i) => sparkEvent('thing', i)));
    await app.spark.drain();
    await restart([], {});
    broken = false;
    expect(await app.spark.retry()).toBe(20);
    await app.spark.emit(sparkEvent('thing', 'fresh'));
    await restart([First], { worker: { pollInterval: '1h', concurrency: 1 } });
    await app.spark.drain();
    expect(handled).toHaveLength(21);
    expect(handled[0]).toBe('first thing_fresh');
  });

  it('replay: where completed deliveries are not kept it refuses to guess what the handler has had', async () => {
    await start([First], { history: false });
    await app.spark.emit(sparkEvent('thing', 1));
    await app.spark.drain();
    await expect(app.spark.replay({ handler: 'first' })).rejects.toThrow(
      'Pass `repeat: true` to deliver all events again',
    );
    expect(await app.spark.replay({ handler: 'first', repeat: true })).toBe(1);

    await restart([First], { retention: { completed: '1d' } });
    const replay = app.spark.replay({ handler: 'first', since: new Date(Date.now() - 2 * 86_400_000) });
    await expect(replay).rejects.toThrow('keeps its finished deliveries since');
    const since = new Date();
    await app.spark.emit(sparkEvent('thing', 2));
    await app.spark.drain();
    expect(await app.spark.replay({ handler: 'first', since })).toBe(0);
  });

  it('discard: what waits is given up, those that are meant', async () => {
    await start([First]);
    await restart([]);
    await app.spark.emit([sparkEvent('thing', 1), sparkEvent('thing', 2)]);
    expect(await app.spark.discard({ key: 'thing_1' })).toBe(1);
    expect(await states()).toEqual(['first discarded 0', 'first available 0']);
  });

  it('a filter that is misspelled or undefined does not mean all', async () => {
    await start([First]);
    const filter = { handler: process.env.NO_SUCH_VARIABLE };
    await expect(app.spark.discard(filter)).rejects.toThrow(
      'SparkService.discard { handler } is undefined. Expected: text; leave it out',
    );
    await expect(app.spark.retry({ handlr: 'x' } as object)).rejects.toThrow('SparkService.retry.handlr is unknown');
  });

  it('replay: a new handler starts from now, or has the past replayed; what is completed is repeated only when asked', async () => {
    await start([First]);
    await app.spark.emit([sparkEvent('thing', 1), sparkEvent('thing', 2), sparkEvent('other', 1)]);
    await app.spark.drain();
    await restart([First, Second]);
    await app.spark.emit(sparkEvent('thing', 3));
    await app.spark.drain();
    expect(handled.filter((line) => line.startsWith('second'))).toEqual(['second thing_3']);
    expect(await app.spark.replay({ handler: 'second' })).toBe(2);
    expect(await app.spark.replay({ handler: 'second' })).toBe(0);
    await app.spark.drain();
    expect(handled.filter((line) => line.startsWith('second'))).toEqual([
      'second thing_3',
      'second thing_1',
      'second thing_2',
    ]);
    expect(await app.spark.replay({ handler: 'first', since: new Date(Date.now() + 60_000), repeat: true })).toBe(0);
    expect(await app.spark.replay({ handler: 'first', group: 'thing', repeat: true })).toBe(3);
    await app.spark.drain();
    expect(handled.filter((line) => line === 'first thing_1')).toHaveLength(2);
    await expect(app.spark.replay({ handler: 'third' })).rejects.toThrow('There is no handler named "third"');
  });

  it('orphans are kept and listed, and a handler that was not seen for long gets nothing new', async () => {
    await start([First]);
    await restart([]);
    await app.spark.emit(sparkEvent('thing', 1));
    expect(await app.spark.orphans()).toEqual([]);
    await app.dataSource.query('UPDATE spark_handler SET last_seen_at = 1000');
    await restart([]);
    await app.spark.emit(sparkEvent('thing', 2));
    expect(await app.spark.orphans()).toEqual([
      { handler: 'first', deliveries: 1, since: expect.any(Date), lastSeen: new Date(1000) },
    ]);
    expect(await states()).toEqual(['first available 0']);
    await restart([First]);
    await app.spark.drain();
    expect(handled).toEqual(['first thing_1']);
  });

  it('retention: finished deliveries and contexts go in their time, keys stay', async () => {
    await start([First], { retention: { completed: '30d', discarded: '90d' } });
    await app.spark.emit(sparkEvent('thing', 1, { much: 'text' }));
    await app.spark.drain();
    broken = true;
    await app.spark.emit(sparkEvent('thing', 2, { much: 'text' }));
    await app.spark.drain();
    const past = async (days: number) => {
      const ms = days * 86_400_000;
      await app.dataSource.query(`UPDATE spark_delivery SET finished_at = finished_at - ${ms}`);
      await app.dataSource.query(`UPDATE spark_event SET recorded_at = recorded_at - ${ms}`);
      await restart([First], { retention: { completed: '30d', discarded: '90d' } });
      await maintain();
    };
    await past(31);
    expect(await states()).toEqual(['first discarded 1']);
    await past(60);
    expect(await states()).toEqual([]);
    expect(await app.spark.emit([sparkEvent('thing', 1), sparkEvent('thing', 2)])).toEqual([]);
    const contexts = async () =>
      (await app.dataSource.query('SELECT context FROM spark_event WHERE context IS NOT NULL')) as unknown[];
    expect(await contexts()).toEqual([]);
  });

  it('retention: keys of a group that is named go, too, and only those', async () => {
    const retention = { completed: '1d', keys: { thing_daily: '100d' } };
    await start([First], { retention });
    const days = Array.from({ length: 3 }, (_, day) => sparkEvent('thing_daily', day));
    await app.spark.emit([...days, sparkEvent('thing', 1)]);
    await app.spark.drain();
    const back = async (daysAgo: number, keys: string) => {
      const ms = daysAgo * 86_400_000;
      await app.dataSource.query(
        `UPDATE spark_event SET recorded_at = recorded_at - ${ms} WHERE event_key IN (${keys})`,
      );
    };
    await app.dataSource.query(`UPDATE spark_delivery SET finished_at = finished_at - ${200 * 86_400_000}`);
    // In the order in which they were entered.
    await back(101, `'thing_1', 'thing_daily_0', 'thing_daily_1'`);
    await back(99, `'thing_daily_2'`);
    await restart([First], { retention });
    const keys = async () =>
      (await app.dataSource.query('SELECT event_key FROM spark_event ORDER BY event_key')).map(
        ({ event_key }: { event_key: string }) => event_key,
      ) as string[];
    await maintain();
    expect(await keys()).toEqual(['thing_1', 'thing_daily_2']);
  });

  it('retention: in batches of 1,000, until nothing is left that is over', async () => {
    await start([First]);
    await app.spark.emit(Array.from({ length: 2_500 }, (_, i) => sparkEvent('thing', i, { much: 'text' })));
    await app.spark.drain();
    const ms = 40 * 86_400_000;
    await app.dataSource.query(`UPDATE spark_delivery SET finished_at = finished_at - ${ms}`);
    await app.dataSource.query(`UPDATE spark_event SET recorded_at = recorded_at - ${ms}`);
    const log = new QueryLog();
    await restart([First], { retention: { completed: '30d' } }, { logger: log });
    const left = async () => [
      ...(await app.dataSource.query('SELECT id FROM spark_delivery LIMIT 1')),
      ...(await app.dataSource.query('SELECT id FROM spark_event WHERE context IS NOT NULL LIMIT 1')),
    ];
    await maintain();
    expect(await left()).toEqual([]);
    expect(log.statements.filter((sql) => /^DELETE FROM \S*spark_delivery/.test(sql))).toHaveLength(3);
    expect(log.statements.filter((sql) => /^UPDATE \S*spark_event\S* SET context/.test(sql))).toHaveLength(3);
    expect(await app.spark.emit(sparkEvent('thing', 1))).toEqual([]);
  });

  it('history: completed deliveries keep attempts and duration, or are removed at once', async () => {
    await start([First]);
    await app.spark.emit(sparkEvent('thing', 1));
    await app.spark.drain();
    const [row] = await app.dataSource.query('SELECT state, attempt, handler, duration_ms FROM spark_delivery');
    expect(row).toMatchObject({ state: 'completed', attempt: 1, handler: 'first', duration_ms: expect.any(Number) });
    await restart([First], { history: false });
    await app.spark.emit(sparkEvent('thing', 2));
    await app.spark.drain();
    expect(handled).toEqual(['first thing_1', 'first thing_2']);
    expect(await states()).toHaveLength(1);
  });
});
