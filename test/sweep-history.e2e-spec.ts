import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import {
  EventSource,
  GroupHandler,
  InvalidOptionsError,
  sparkEvent,
  type SparkEvent,
  type SparkModuleOptions,
  NoSourceError,
} from 'nestjs-spark';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { refusal } from './support/refusal.js';

@Entity()
class Account {
  @PrimaryColumn() id: number;
  @Column() state: string;
}

@Entity()
class Order {
  @PrimaryColumn() id: number;
}

@Entity()
class Stranger {
  @PrimaryColumn() id: number;
}

@Injectable()
class Accounts {
  @EventSource(Account, { name: 'accounts' })
  *accounts({ id, state }: Account) {
    if (state === 'silent') return;
    yield sparkEvent('customer', id);
    if (state === 'closed') yield sparkEvent('closed', id);
  }
}

@Injectable()
class Orders {
  @EventSource(Order, { name: 'orders' })
  *orders({ id }: Order) {
    yield sparkEvent('customer', id, undefined, { key: `customer of order ${id}` });
  }
}

@Injectable()
class Mails {
  readonly sent: string[] = [];

  @GroupHandler(/^(customer|closed)$/, { name: 'mails' })
  send({ key }: SparkEvent) {
    this.sent.push(key);
  }
}

@Injectable()
class Statistics {
  @GroupHandler(/^customer$/, { name: 'statistics' }) count() {}
}

const limit = 3;

describe.each(databases)('nobody is flooded by history, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;

  beforeEach(async () => {
    db = await database.create();
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const start = async (providers: any[] = [Accounts, Mails], spark: SparkModuleOptions = {}) => {
    const options = { activation: { limit }, worker: { pollInterval: '1h' as const }, ...spark };
    app = await startApp({ database: db, entities: [Account, Order, Stranger], providers, spark: options });
  };
  const restart = async (...args: Parameters<typeof start>) => {
    await app.close();
    await start(...args);
  };
  const sql = (statement: string) =>
    app.dataSource.query(database.name === 'MariaDB' ? statement.replaceAll('"', '`') : statement);
  const insert = (from: number, to: number, state = 'open') => {
    const rows = Array.from({ length: to - from + 1 }, (_, i) => `(${from + i}, '${state}')`);
    return sql(`INSERT INTO "account" VALUES ${rows.join(', ')}`);
  };
  const sent = async () => {
    await app.spark.drain();
    return app.app.get(Mails).sent.splice(0).sort();
  };
  /** What is sent though nobody asks, and no poll comes. */
  const sentAtOnce = async (count: number) => {
    const mails = app.app.get(Mails);
    for (const end = Date.now() + 10_000; mails.sent.length < count && Date.now() < end;) await delay(10);
    return mails.sent.splice(0).sort();
  };
  const keys = (group: string, from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, i) => `${group}_${from + i}`).sort();
  const states = async () => {
    const rows = await sql('SELECT state, COUNT(*) AS n FROM spark_delivery GROUP BY state');
    return Object.fromEntries(rows.map(({ state, n }: any) => [state, Number(n)]));
  };
  const warnings = () => app.logs.filter((line) => line.startsWith('warn') && line.includes('are held'));

  it('a first sweep that finds little is delivered at its end', async () => {
    await start();
    await insert(1, limit);
    expect(await app.spark.sweep()).toMatchObject({ entered: limit, held: 0 });
    expect(await sentAtOnce(limit)).toEqual(keys('customer', 1, limit));
    expect(warnings()).toEqual([]);
  });

  it('one that finds much is held, loudly, until somebody releases it; what comes after it is delivered', async () => {
    await start();
    await insert(1, limit + 1);
    await insert(10, 11, 'closed');
    expect(await app.spark.sweep()).toMatchObject({ entered: limit + 1 + 2 + 2, held: limit + 3 });
    expect(await sent()).toEqual(['closed_10', 'closed_11']);
    expect(warnings()).toEqual([
      expect.stringMatching(
        /^warn 6 deliveries of the group "customer" .*release\("customer"\).*discard\("customer"\)/,
      ),
    ]);
    expect((await app.spark.status()).held).toEqual([{ group: 'customer', deliveries: 6 }]);

    // The group is active now: history is what its first sweep found.
    await app.dataSource.manager.save(Account, { id: 20, state: 'open' });
    expect(await sent()).toEqual(['customer_20']);
    await insert(30, 35);
    expect(await app.spark.sweep()).toMatchObject({ entered: 6, held: 0 });
    expect(await sent()).toEqual(keys('customer', 30, 35));
    expect(warnings()).toHaveLength(1);

    expect(await app.spark.release('closed')).toBe(0);
    expect(await app.spark.release('customer')).toBe(6);
    expect(await sent()).toEqual([...keys('customer', 1, 4), 'customer_10', 'customer_11'].sort());
    expect(await app.spark.release('customer')).toBe(0);
  });

  it('or discards it, by group; a retry of what failed leaves it alone', async () => {
    await start();
    await insert(1, limit + 1);
    await app.spark.sweep();
    // What came live beside it waits for its next try, and is wanted.
    await app.spark.emit(sparkEvent('customer', 'live'));
    await app.spark.drain();
    app.app.get(Mails).sent.splice(0);
    await sql("UPDATE spark_delivery SET state = 'available' WHERE state = 'completed'");
    expect(await app.spark.discard('closed')).toBe(0);
    expect(await app.spark.discard('customer')).toBe(4);
    expect(await app.spark.retry()).toBe(0);
    expect(await sent()).toEqual(['customer_live']);
    expect(await states()).toEqual({ discarded: 4, completed: 1 });
    expect((await app.spark.status()).held).toEqual([]);
    expect(await app.spark.replay({ handler: 'mails', repeat: true })).toBe(5);
    expect(await sent()).toEqual(expect.arrayContaining(keys('customer', 1, 4)));
  });

  it('many are released, in batches', async () => {
    await start();
    await insert(1, 2_300);
    expect(await app.spark.sweep()).toMatchObject({ held: 2_300 });
    expect(await app.spark.release('customer')).toBe(2_300);
    expect(await sent()).toHaveLength(2_300);
  });

  it('what is captured live, or emitted, never waits', async () => {
    await start();
    await app.dataSource.manager.save(Account, { id: 1, state: 'open' });
    await app.spark.emit(sparkEvent('customer', 'emitted'));
    expect(await sent()).toEqual(['customer_1', 'customer_emitted']);
  });

  it('a group that came live is active after the next sweep, though that found nothing', async () => {
    await start();
    await app.dataSource.manager.save(Account, { id: 1, state: 'open' });
    expect(await app.spark.sweep()).toMatchObject({ entered: 0 });
    await sent();
    await insert(2, limit + 3);
    expect(await app.spark.sweep()).toMatchObject({ entered: limit + 2, held: 0 });
    expect(await sent()).toEqual(keys('customer', 2, limit + 3));
  });

  it('a group that was never seen is new, however many sweeps found nothing: an import is history', async () => {
    await start();
    await insert(1, 1, 'silent');
    await app.spark.sweep();
    await app.spark.sweep();
    await insert(2, limit + 3);
    expect(await app.spark.sweep()).toMatchObject({ held: limit + 2 });
    expect(await sent()).toEqual([]);
  });

  it('a second source of a group has a history of its own', async () => {
    await start();
    await insert(1, 2);
    await app.spark.sweep();
    await sent();
    await restart([Accounts, Orders, Mails]);
    await sql(`INSERT INTO "order" VALUES (1), (2), (3), (4)`);
    await insert(3, 8);
    expect(await app.spark.sweep()).toMatchObject({ entered: 10, held: 4 });
    expect(await sent()).toEqual(keys('customer', 3, 8));
  });

  it('a sweep that goes on where another version was killed does not take the part before for swept', async () => {
    await start();
    await insert(1, 1_000);
    await app.spark.baseline(Account);
    await sql(`UPDATE spark_sweep SET began_at = 1, reached = '500'`);
    await sql(`UPDATE account SET state = 'closed'`);
    expect(await app.spark.sweep()).toMatchObject({ entered: 1_000, held: 1_000 });
    expect(await sent()).toEqual([]);
  });

  it('each handler counts, and one that comes later starts from then', async () => {
    await start([Accounts, Mails, Statistics]);
    await insert(1, 2);
    expect(await app.spark.sweep()).toMatchObject({ entered: 2, held: 4 });
    expect(await app.spark.release('customer')).toBe(4);
    await sent();
    expect(await states()).toEqual({ completed: 4 });
  });

  it('a handler that is registered while a sweep is under way is held like the others', async () => {
    await start();
    await insert(1, limit + 1);
    await sql(
      `INSERT INTO spark_handler (name, pattern, priority, revision, first_seen_at, last_seen_at) VALUES ('other', '/customer/', 0, 1, ${Date.now()}, ${Date.now()})`,
    );
    expect(await app.spark.sweep()).toMatchObject({ held: 2 * (limit + 1) });
    expect(await states()).toEqual({ held: 2 * (limit + 1) });
  });

  it('a limit of 0 holds all', async () => {
    await start([Accounts, Mails], { activation: { limit: 0 } });
    await insert(1, 1);
    expect(await app.spark.sweep()).toMatchObject({ held: 1 });
    expect(await sent()).toEqual([]);
    await delay(50);
    expect(await app.spark.release('customer')).toBe(1);
    expect(await sentAtOnce(1)).toEqual(['customer_1']);
  });

  describe('baseline', () => {
    it('takes what is there for known; what comes after it is delivered', async () => {
      await start([Accounts, Orders, Mails]);
      await insert(1, 700);
      await sql(`INSERT INTO "order" VALUES (1)`);
      expect(await app.spark.baseline(Account)).toMatchObject({ subjects: 700, entered: 700, held: 0, elsewhere: 0 });
      expect(await states()).toEqual({ discarded: 700 });
      expect(await sql('SELECT DISTINCT last_error FROM spark_delivery')).toEqual([{ last_error: 'baseline' }]);
      expect(await sent()).toEqual([]);
      expect(await app.spark.retry()).toBe(0);

      await insert(701, 710);
      expect(await app.spark.sweep({ entity: Account })).toMatchObject({ entered: 10, held: 0 });
      await app.dataSource.manager.save(Account, { id: 711, state: 'open' });
      expect(await sent()).toEqual(keys('customer', 701, 711));
      expect(await app.spark.replay({ handler: 'mails' })).toBe(0);
      expect(await app.spark.replay({ handler: 'mails', repeat: true })).toBe(711);
      expect(await sent()).toHaveLength(711);
      // The other entity was not meant.
      expect(await app.spark.sweep()).toMatchObject({ entered: 1 });
    });

    it('also gives up what a sweep before it holds', async () => {
      await start();
      await insert(1, 5);
      await app.spark.sweep();
      await insert(6, 7);
      expect(await app.spark.baseline(Account)).toMatchObject({ entered: 2, held: 0 });
      expect(await states()).toEqual({ discarded: 7 });
    });

    it('stays one when it was killed and another sweep ends it', async () => {
      await start();
      await insert(1, 1_000);
      await app.spark.baseline(Account);
      // As if it had been killed there.
      await sql(`UPDATE spark_sweep SET began_at = 1, reached = '1000', baseline = 1`);
      await sql('UPDATE spark_group SET swept_at = NULL');
      await insert(1_001, 1_200);
      expect(await app.spark.sweep()).toMatchObject({ entered: 200, held: 0 });
      expect(await states()).toEqual({ discarded: 1_200 });
      await insert(1_201, 1_210);
      await app.spark.sweep();
      expect(await sent()).toHaveLength(10);
    });

    it('is refused for what has no source', async () => {
      await start();
      await expect(app.spark.baseline(Stranger)).rejects.toThrow(NoSourceError);
    });
  });
});

it.each([
  ['activation', { activation: 5 }],
  ['activation.limit', { activation: { limit: -1 } }],
  ['activation.limit', { activation: { limit: 1.5 } }],
  ['activation.limit', { activation: { limit: '5' } }],
  ['activation.most', { activation: { most: 5 } }],
])('%s that means nothing fails at boot: %o', async (name, spark: object) => {
  const error = await refusal({ entities: [Account], spark });
  expect(error).toBeInstanceOf(InvalidOptionsError);
  expect(error.message).toContain(`Spark's option ${name} is`);
});
