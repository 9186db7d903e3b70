import { Injectable } from '@nestjs/common';
import { DiscardDelivery, GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { TestClock } from 'nestjs-spark/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Spark } from '../libs/spark/src/runtime/create-spark.js';
import { Pruning } from '../libs/spark/src/runtime/pruning.js';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Injectable()
class Shop {
  @GroupHandler(/^order/, { name: 'mails' }) mail({ group }: SparkEvent) {
    if (group === 'order_failed') throw new DiscardDelivery('no address');
  }
  @GroupHandler(/^order_open/, { name: 'later' }) later() {}
}

const DAY = 86_400_000;
const NONE = { deliveries: 0, contexts: 0, keys: 0 };

describe.each(databases)('what is removed by hand, on $name', ({ create }) => {
  let db: TestDatabase;
  let app: TestApp;
  let clock: TestClock;

  beforeEach(async () => {
    db = await create();
    clock = new TestClock(new Date());
    app = await startApp({ database: db, entities: [], providers: [Shop], clock });
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const parts = () => (app.spark as unknown as { spark: Spark }).spark;
  const query = (sql: string) => app.dataSource.query(sql) as Promise<any[]>;
  const emit = (...groups: string[]) => app.spark.emit(groups.map((group) => sparkEvent(group, 1, { much: 'text' })));
  const rows = async () => {
    const deliveries = await query('SELECT state FROM spark_delivery');
    const keys = await query('SELECT event_key FROM spark_event');
    const contexts = await query('SELECT id FROM spark_event WHERE context IS NOT NULL');
    return { deliveries: deliveries.length, contexts: contexts.length, keys: keys.length };
  };
  const minus = (a: typeof NONE, b: typeof NONE) => ({
    deliveries: a.deliveries - b.deliveries,
    contexts: a.contexts - b.contexts,
    keys: a.keys - b.keys,
  });

  it('is what a dry run counts before, by each time that says how long rows are kept', async () => {
    await emit('order_done', 'order_skipped', 'order_failed', 'order_open', 'order_daily', 'order_later', 'nobody');
    await app.spark.pauseHandler('later');
    await app.spark.drain();
    const idOf = async (group: string) =>
      Number((await query(`SELECT id FROM spark_event WHERE event_key = '${group}_1'`))[0].id);
    await query(`UPDATE spark_delivery SET state = 'skipped' WHERE event_id = ${await idOf('order_skipped')}`);
    clock.set(clock.now() + 40 * DAY);
    await emit('order_new', 'order_young');
    await app.spark.drain();
    // By its row it ended long ago, but its event is new.
    await query(`UPDATE spark_delivery SET finished_at = 1 WHERE event_id = ${await idOf('order_new')}`);
    // Ids may have gaps, and a count reads 10,000 at a time.
    const gap = await idOf('order_later');
    await query(`UPDATE spark_event SET id = id + 50000 WHERE id >= ${gap}`);
    await query(`UPDATE spark_delivery SET event_id = event_id + 50000 WHERE event_id >= ${gap}`);

    const days = (...groups: string[]) => new Map(groups.map((group) => [group, 30 * DAY]));
    const steps = [
      { times: { discarded: 50 * DAY }, removes: NONE },
      // `order_open` has another delivery, and keeps its context. `nobody` never had one.
      {
        times: { completed: 30 * DAY, keys: days('order_daily', 'order_young', 'order_open') },
        removes: { deliveries: 5, contexts: 5, keys: 1 },
      },
      { times: { completed: 30 * DAY, discarded: 30 * DAY }, removes: { deliveries: 1, contexts: 1, keys: 0 } },
      { times: { keys: days('nobody') }, removes: { ...NONE, keys: 1 } },
    ];
    for (const { times, removes } of steps) {
      const pruning = new Pruning(parts(), { completed: undefined, discarded: undefined, keys: new Map(), ...times });
      const before = await rows();
      const counted = await pruning.count({});
      expect(await rows()).toEqual(before);
      expect({ times, counted }).toEqual({ times, counted: removes });
      expect(await pruning.prune({})).toEqual(counted);
      expect(minus(before, await rows())).toEqual(removes);
      expect(await pruning.count({})).toEqual(NONE);
      expect(await pruning.prune({})).toEqual(NONE);
    }
  });

  it('ends between two batches when it is told to, and says how many are done', async () => {
    await app.spark.emit(Array.from({ length: 2_500 }, (_, i) => sparkEvent('order_bulk', i)));
    await query(`UPDATE spark_delivery SET state = 'completed', finished_at = 1`);
    clock.set(clock.now() + 2 * DAY);
    const pruning = new Pruning(parts(), { completed: DAY, discarded: DAY, keys: new Map() });
    const controller = new AbortController();
    const counts: number[] = [];
    const onProgress = (done: number) => {
      counts.push(done);
      controller.abort(new Error('interrupted'));
    };
    await expect(pruning.prune({ onProgress, signal: controller.signal })).rejects.toThrow('interrupted');
    expect(counts).toEqual([1_000]);
    expect((await rows()).deliveries).toBe(1_500);
    await expect(pruning.count({ signal: controller.signal })).rejects.toThrow('interrupted');
    // Nothing keeps the next run from going on.
    expect(await pruning.prune({})).toMatchObject({ deliveries: 1_500 });
  });

  it('leaves it to another process that is removing old rows', async () => {
    const pruning = new Pruning(parts(), { completed: DAY, discarded: DAY, keys: new Map() });
    await query(
      `INSERT INTO spark_chore (name, holder, held_until) VALUES ('retention', 'other', ${Date.now() + DAY})`,
    );
    expect(await pruning.prune({})).toBeUndefined();
    await query(`UPDATE spark_chore SET held_until = 1`);
    expect(await pruning.prune({})).toEqual(NONE);
  });
});
