import { Injectable } from '@nestjs/common';
import {
  type AttemptRecord,
  DiscardDelivery,
  EventSource,
  GroupHandler,
  InvalidOptionsError,
  RetryLater,
  sparkEvent,
  type SparkEvent,
  type SparkModuleOptions,
} from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { Column, DataSource, Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { QueryLog } from './support/query-log.js';

@Entity()
class Order {
  @PrimaryColumn() id: number;
  @Column() title: string;
}

/** What happens at the next attempts of each event; then it succeeds. */
let ends: Record<string, (() => void | Promise<void>)[]> = {};
const failing = (message: string) => () => {
  throw new Error(message);
};
const times = (count: number, end: () => void) => Array.from({ length: count }, () => end);

@Injectable()
class Shop {
  @EventSource(Order, { name: 'orders' }) *orders(order: Order) {
    yield sparkEvent('order', order.id, order.title === 'in context' ? { order } : undefined);
  }
  @GroupHandler(/^order$/, { name: 'mails', maxAttempts: 30, backoff: () => 60_000 })
  async mail({ key }: SparkEvent) {
    await ends[key]?.shift()?.();
  }
  @GroupHandler(/^letter$/, { name: 'letters', transactional: true, backoff: () => 60_000 })
  async write({ key }: SparkEvent) {
    await ends[key]?.shift()?.();
  }
}

describe.each(databases)('failed attempts are kept, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let kit: SparkTestKit;
  let log: QueryLog;

  beforeEach(async () => {
    ends = {};
    db = await database.create();
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const start = async (spark: SparkModuleOptions = {}) => {
    log = new QueryLog();
    const clock = new TestClock('2026-03-01T10:00:00Z');
    const dataSource = { logger: log };
    app = await startApp({ database: db, entities: [Order], providers: [Shop], clock, spark, dataSource });
    kit = new SparkTestKit(app.app);
  };
  const save = (id: number, title = '') => app.dataSource.manager.save(Order, { id, title });
  const sql = (text: string) => app.dataSource.query(text);
  const delivery = async (key: string) => (await app.spark.deliveries({ key })).records[0]!;
  const attempts = async (key: string): Promise<AttemptRecord[]> => app.spark.attempts((await delivery(key)).id);
  const kept = async () => Number((await sql('SELECT COUNT(*) AS n FROM spark_attempt'))[0].n);

  it('each with its process, its time and its error; the delivery has the fingerprint until it completes', async () => {
    await start();
    ends = { order_7: [failing('no paper for order 7'), failing('no paper for order 12'), failing('no ink')] };
    await save(7);
    await kit.drain();
    await kit.advance('2m');
    const failed = await attempts('order_7');
    expect(failed).toEqual(
      ['no paper for order 7', 'no paper for order 12', 'no ink'].map((message, i) => ({
        attempt: i + 1,
        host: hostname(),
        pid: process.pid,
        started: new Date(Date.parse('2026-03-01T10:00:00Z') + i * 60_000),
        durationMs: expect.any(Number),
        error: expect.stringMatching(new RegExp(`^Error: ${message}\n +at `)),
        fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/),
      })),
    );
    const [first, second, third] = failed.map(({ fingerprint }) => fingerprint);
    expect(second).toBe(first);
    expect(third).not.toBe(first);
    expect(await delivery('order_7')).toMatchObject({ state: 'available', fingerprint: third });
    await kit.advance('1m');
    expect(await delivery('order_7')).toMatchObject({ state: 'completed', error: undefined, fingerprint: undefined });
    expect(await attempts('order_7')).toHaveLength(3);
  });

  it('the latest 20 of a delivery, also of one that is tried again by hand', async () => {
    await start();
    ends = { order_1: times(27, failing('down')), order_2: times(1, failing('down')) };
    await save(2);
    await save(1);
    await kit.drain();
    await kit.advance('21m');
    expect((await attempts('order_1')).map(({ attempt }) => attempt)).toEqual(
      Array.from({ length: 20 }, (_, i) => i + 3),
    );
    await app.spark.discard({ key: 'order_1' });
    await app.spark.retry({ key: 'order_1' });
    await kit.advance('2m');
    const numbers = (await attempts('order_1')).map(({ attempt }) => attempt);
    expect(numbers).toEqual([...Array.from({ length: 17 }, (_, i) => i + 6), 1, 2, 3]);
    expect(await attempts('order_2')).toHaveLength(1);
  });

  it('also the one that ends a delivery, thrown or not', async () => {
    await start();
    ends = {
      order_1: [
        () => {
          throw new DiscardDelivery('nobody lives there');
        },
      ],
      order_2: times(30, failing('down')),
    };
    await save(1);
    await save(2);
    await save(3, 'in context');
    await sql('DELETE FROM "order" WHERE id = 3'.replaceAll('"', database.name === 'MariaDB' ? '`' : '"'));
    await kit.drain();
    await kit.advance('30m');
    for (const [key, message] of [
      ['order_1', 'nobody lives there'],
      ['order_2', 'down'],
      ['order_3', 'Order 3 in its context is gone'],
    ] as const) {
      const { state, fingerprint, error } = await delivery(key);
      expect(state).toBe('discarded');
      expect(error).toContain(message);
      expect((await attempts(key)).at(-1)).toMatchObject({ error, fingerprint });
    }
  });

  it('not one that does not count, and the delivery has no fingerprint then', async () => {
    await start();
    const later = () => {
      throw new RetryLater('1m', 'the office is closed');
    };
    ends = { order_1: [failing('down'), later] };
    await save(1);
    await kit.drain();
    await kit.advance('1m');
    const { error, fingerprint } = await delivery('order_1');
    expect(error).toContain('the office is closed');
    expect(fingerprint).toBeUndefined();
    expect(await attempts('order_1')).toMatchObject([{ attempt: 1 }]);
  });

  it('a delivery that is skipped keeps those before, and has no fingerprint', async () => {
    await start();
    ends = { order_1: [failing('down')] };
    await app.spark.emit(sparkEvent('order', 1, undefined, { until: new Date(kit.clock.now() + 30_000) }));
    await kit.drain();
    expect((await delivery('order_1')).fingerprint).toMatch(/^[0-9a-f]{16}$/);
    await kit.advance('1m');
    expect(await delivery('order_1')).toMatchObject({ state: 'skipped', fingerprint: undefined });
    expect(await attempts('order_1')).toHaveLength(1);
  });

  it('a delivery whose process died at each attempt has one that says so', async () => {
    await start();
    await save(1);
    await sql('UPDATE spark_delivery SET suspect = 1, attempt = 30');
    await kit.drain();
    const { state, fingerprint, error } = await delivery('order_1');
    expect(state).toBe('discarded');
    expect(error).toContain('its process died');
    expect(await attempts('order_1')).toMatchObject([{ attempt: 31, error, fingerprint }]);
  });

  it('a delivery whose attempts were made fewer keeps what its last attempt left', async () => {
    await start();
    ends = { order_1: [failing('down')] };
    await save(1);
    await kit.drain();
    const before = await delivery('order_1');
    await sql('UPDATE spark_delivery SET attempt = 30');
    await kit.advance('1m');
    const { state, error, fingerprint } = await delivery('order_1');
    expect(before.fingerprint).toMatch(/^[0-9a-f]{16}$/);
    expect({ state, error, fingerprint }).toEqual({
      state: 'discarded',
      error: before.error,
      fingerprint: before.fingerprint,
    });
    expect(await attempts('order_1')).toMatchObject([{ attempt: 1 }]);
  });

  it('none of a delivery that another process has taken over meanwhile', async () => {
    await start();
    const { manager } = app.app.get(DataSource);
    const taken = (end: () => void) => async () => {
      await manager.query(`UPDATE spark_delivery SET claimed_by = 'rival'`);
      end();
    };
    ends = {
      order_1: [taken(failing('down'))],
      order_2: [
        taken(() => {
          throw new DiscardDelivery('down');
        }),
      ],
    };
    for (const id of [1, 2]) {
      await save(id);
      await kit.drain();
      expect(await delivery(`order_${id}`)).toMatchObject({
        state: 'running',
        worker: 'rival',
        fingerprint: undefined,
      });
    }
    expect(await kept()).toBe(0);
  });

  it('in the transaction that ends the attempt: what the database refuses of one it refuses of both', async () => {
    await start();
    ends = { order_1: [failing('out of paper')] };
    const refusal: string = {
      SQLite: `CREATE TRIGGER refuse BEFORE INSERT ON spark_attempt WHEN NEW.error LIKE '%paper%'
        BEGIN SELECT RAISE(ABORT, 'incorrect string value'); END`,
      PostgreSQL: `ALTER TABLE spark_attempt ADD CHECK (error NOT LIKE '%paper%')`,
      MariaDB: `ALTER TABLE spark_attempt ADD CONSTRAINT refuse CHECK (error NOT LIKE '%paper%')`,
    }[database.name];
    await sql(refusal);
    await save(1);
    await kit.drain();
    const { state, error, fingerprint } = await delivery('order_1');
    expect({ state, error }).toEqual({ state: 'available', error: expect.stringContaining('the database refuses') });
    expect(await attempts('order_1')).toMatchObject([{ error, fingerprint }]);
  });

  it.each([true, false])('a delivery that succeeds costs no statement for them, history: %s', async (history) => {
    await start({ history });
    log.statements.length = 0;
    await save(1);
    await app.spark.emit(sparkEvent('letter', 1));
    await kit.drain();
    expect((await kit.deliveries()).filter(({ state }) => state !== 'completed')).toEqual([]);
    // On PostgreSQL a statement that is there anyway removes both.
    const added = log.statements.filter((text) => text.includes('spark_attempt') && !text.startsWith('WITH gone AS'));
    expect(added).toEqual([]);
  });

  it('without history they go with a delivery that completes, also after it was tried again by hand', async () => {
    await start({ history: false });
    ends = {
      order_1: [failing('down')],
      order_2: times(2, failing('down')),
      letter_1: [failing('down')],
      letter_2: times(2, failing('down')),
    };
    await save(1);
    await save(2);
    await app.spark.emit([sparkEvent('letter', 1), sparkEvent('letter', 2)]);
    await kit.drain();
    expect(await kept()).toBe(4);
    await app.spark.retry();
    expect((await kit.deliveries()).map(({ attempt }) => attempt)).toEqual([0, 0, 0, 0]);
    await kit.drain();
    expect((await kit.deliveries()).map(({ key }) => key)).toEqual(['order_2', 'letter_2']);
    expect(await attempts('order_2')).toHaveLength(2);
    expect(await attempts('letter_2')).toHaveLength(2);
    expect(await kept()).toBe(4);
    await kit.advance('1m');
    expect(await kit.deliveries()).toEqual([]);
    expect(await kept()).toBe(0);
  });

  it('they go with what retention removes, and with what is forgotten', async () => {
    await start({ retention: { completed: '2d', discarded: '2d' } });
    ends = {
      order_1: [failing('down')],
      order_2: times(30, failing('down')),
      order_3: [failing('down'), ...times(3, failing('down'))],
      order_4: [failing('down')],
    };
    for (const id of [1, 2, 3, 4]) await save(id);
    await kit.drain();
    await app.spark.forget(Order, 4);
    expect(await kept()).toBe(3);
    await kit.advance('1d');
    expect(await kept()).toBe(1 + 20 + 4);
    ends['order_5'] = [failing('down')];
    await save(5);
    await kit.drain();
    await kit.advance('30h');
    expect((await kit.deliveries()).map(({ key }) => key)).toEqual(['order_5']);
    expect(await kept()).toBe(1);
    expect(await attempts('order_5')).toHaveLength(1);
  });

  it.skipIf(database.name === 'SQLite')('also one that is written while its delivery is being forgotten', async () => {
    await start();
    await save(1);
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    await runner.query(`UPDATE spark_delivery SET last_error = 'down'`);
    const columns = 'delivery_id, attempt, host, pid, started_at, duration_ms, error, fingerprint';
    await runner.query(
      `INSERT INTO spark_attempt (${columns}) SELECT id, 1, 'h', 1, 0, 0, 'down', 'f' FROM spark_delivery`,
    );
    const forgotten = app.spark.forget(Order, 1);
    await delay(300);
    await runner.commitTransaction();
    await runner.release();
    await forgotten;
    expect(await kit.deliveries()).toEqual([]);
    expect(await kept()).toBe(0);
  });

  it('deliveries are found by the fingerprint of their last error', async () => {
    await start();
    ends = {
      order_1: [failing('down')],
      order_2: [failing('down'), failing('out of ink')],
      order_3: [failing('down')],
    };
    for (const id of [1, 2, 3]) await save(id);
    await kit.drain();
    const down = (await delivery('order_1')).fingerprint!;
    const keys = async (fingerprint: string) =>
      (await app.spark.deliveries({ fingerprint }, { countUpTo: 9 })).records.map(({ event }) => event.key);
    expect(await keys(down)).toEqual(['order_3', 'order_2', 'order_1']);
    await kit.advance('1m');
    expect(await keys(down)).toEqual([]);
    expect(await keys((await delivery('order_2')).fingerprint!)).toEqual(['order_2']);
  });

  it('errors are listed by kind and handler, those that came last first', async () => {
    await start();
    ends = {
      order_1: [failing('no order 1')],
      order_2: times(2, failing('no order 2')),
      order_3: [failing('out of ink'), failing('no order 3')],
      order_4: [failing('out of ink')],
      letter_1: [failing('no order 4')],
    };
    for (const id of [1, 2, 3, 4]) await save(id);
    await app.spark.emit(sparkEvent('letter', 1));
    await kit.drain();
    await app.spark.discard({ key: 'order_1' });
    await app.spark.discard({ key: 'order_4' });
    await kit.advance('1m');
    const { records } = await app.spark.errors();
    const at = (minute: string) => new Date(`2026-03-01T10:${minute}:00Z`);
    const [noOrder, noInk] = await Promise.all([delivery('order_2'), delivery('order_4')]);
    expect(records).toEqual([
      {
        fingerprint: noOrder.fingerprint,
        handler: 'mails',
        deliveries: 3,
        discarded: 1,
        first: at('00'),
        last: at('01'),
        error: expect.stringMatching(/^Error: no order \d\n/),
      },
      {
        fingerprint: noInk.fingerprint,
        handler: 'mails',
        deliveries: 1,
        discarded: 1,
        first: at('00'),
        last: at('00'),
        error: expect.stringContaining('Error: out of ink'),
      },
    ]);
    expect(await app.spark.errors({ state: 'available' }, { countUpTo: 5 })).toMatchObject({
      count: 1,
      next: undefined,
    });
    expect((await app.spark.errors({ state: 'completed' })).records).toEqual([]);
    expect((await app.spark.errors({ entity: Order, id: 4 })).records).toEqual([records[1]]);
    const { records: one, next } = await app.spark.errors({}, { limit: 1 });
    const { records: other, next: last } = await app.spark.errors({}, { limit: 1, after: next });
    expect([...one, ...other]).toEqual(records);
    expect(last).toBeUndefined();
  });

  it('what names no delivery and no fingerprint is refused, and one that is not there has none', async () => {
    await start();
    expect(await app.spark.attempts('4711')).toEqual([]);
    for (const id of ['', "1' OR 1", '-1', '1.5', '9'.repeat(19), 7, undefined]) {
      await expect(app.spark.attempts(id as string)).rejects.toThrow(InvalidOptionsError);
      await expect(app.spark.attempts(id as string)).rejects.toThrow(/the id of a delivery/);
    }
    for (const fingerprint of ['', 'XYZ', '0123456789abcde', 7, undefined]) {
      const filter = { fingerprint: fingerprint as string };
      await expect(app.spark.deliveries(filter)).rejects.toThrow(InvalidOptionsError);
      await expect(app.spark.errors(filter)).rejects.toThrow(/errors \{ fingerprint \}/);
    }
  });
});
