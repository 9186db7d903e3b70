import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { GroupHandler, InvalidOptionsError, type PageRequest, sparkEvent } from 'nestjs-spark';
import { TestClock } from 'nestjs-spark/testing';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { QueryLog } from './support/query-log.js';

@Entity()
class Order {
  @PrimaryColumn() id: number;
  @Column() state: string;
}

@Injectable()
class Shop {
  @GroupHandler(/^order/, { name: 'mails', maxAttempts: 1 }) mail({ key }: { key: string }) {
    if (key.startsWith('order_bad')) throw new Error(`No server for ${key.slice(0, 10)}`);
  }
}

@Injectable()
class Limited {
  @GroupHandler(/^limited$/, {
    name: 'limited',
    priority: 3,
    concurrency: 2,
    fleetConcurrency: 4,
    rateLimit: { max: 5, per: '2s', key: 'tenant' },
    timeout: '30s',
    maxAttempts: 7,
    transactional: true,
  })
  handle() {}
}

@Injectable()
class Slow {
  static begun = 0;
  static end: () => void = () => {};

  @GroupHandler(/^slow$/, { name: 'slow' })
  async handle() {
    Slow.begun++;
    await new Promise<void>((resolve) => {
      const others = Slow.end;
      Slow.end = () => (others(), resolve());
    });
  }
}

const MINUTE = 60_000;
const EVENTS = 4_000;
// Events of one transaction are entered in the order of their keys as texts.
const numberOf = (i: number) => 10_000 + i;
const LIMITED: PageRequest = { limit: 100, readUpTo: 1_000 };

describe.each(databases)('lists of large tables read only so many rows, on $name', (database) => {
  const clock = new TestClock('2026-03-01T10:00:00Z');
  const start = clock.now();
  const log = new QueryLog();
  let db: TestDatabase;
  let app: TestApp;

  /** Of 4,000 events, a hundred a minute: the 100th and the 3,000th are of a group of their own, and every tenth fails. */
  beforeAll(async () => {
    db = await database.create();
    const dataSource = { logger: log, logging: true };
    app = await startApp({ database: db, entities: [Order], providers: [Shop], clock, dataSource });
    const groupOf = (i: number) => (i === 100 || i === 3_000 ? 'rare' : i % 10 === 0 ? 'order_bad' : 'order');
    for (let first = 1; first <= EVENTS; first += 100) {
      await app.spark.emit(Array.from({ length: 100 }, (_, i) => sparkEvent(groupOf(first + i), numberOf(first + i))));
      clock.set(clock.now() + MINUTE);
    }
    await app.spark.drain();
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  /** The pages that one has to open to see all that a filter selects: how many records each has. */
  const pagesOf = async (
    list: (page: PageRequest) => Promise<{ records: readonly unknown[]; next: string | undefined }>,
  ) => {
    const lengths: number[] = [];
    for (let after: string | undefined, isLast = false; !isLast;) {
      const { records, next } = await list({ ...LIMITED, ...(after === undefined ? {} : { after }) });
      lengths.push(records.length);
      isLast = next === undefined;
      after = next;
    }
    return lengths;
  };

  it('and go on behind them, so that nothing is left out and nothing comes twice', async () => {
    const keys: string[] = [];
    const lengths = await pagesOf(async (page) => {
      const found = await app.spark.events({ group: 'rare' }, page);
      keys.push(...found.records.map(({ key }) => key));
      return found;
    });
    expect(keys).toEqual(['rare_13000', 'rare_10100']);
    expect(lengths).toEqual([0, 1, 0, 1, 0]);
    const bad: string[] = [];
    await pagesOf(async (page) => {
      const found = await app.spark.deliveries({ handler: 'mails', error: 'no server' }, page);
      bad.push(...found.records.map(({ event }) => event.key));
      return found;
    });
    const tenths = Array.from({ length: EVENTS / 10 }, (_, i) => EVENTS - i * 10).filter(
      (n) => n !== 3_000 && n !== 100,
    );
    expect(bad).toEqual(tenths.map((n) => `order_bad_${numberOf(n)}`));
  });

  it('count within them', async () => {
    const page = await app.spark.events({ group: 'order_bad' }, { ...LIMITED, countUpTo: 10_000 });
    expect([page.count, page.next]).toEqual([100, expect.anything()]);
    expect((await app.spark.events({ group: 'order_bad' }, { countUpTo: 10_000 })).count).toBe(398);
  });

  it.each<[string, object, number]>([
    ['a key', { key: 'order_10007' }, 1],
    ['the beginning of a key that few have', { keyPrefix: 'order_1012' }, 9],
    ['times', { from: new Date(start + 3 * MINUTE), to: new Date(start + 4 * MINUTE) }, 100],
    ['an entity that has none', { entity: Order }, 0],
  ])('find by %s what is far behind them', async (_, filter, count) => {
    expect((await app.spark.events(filter, { ...LIMITED, countUpTo: 1_000 })).count).toBe(count);
    expect((await app.spark.deliveries(filter, { ...LIMITED, countUpTo: 1_000 })).count).toBe(count);
  });

  it('find all deliveries of a state that few have', async () => {
    await app.spark.pauseHandler('mails');
    await app.spark.retry({ key: 'order_bad_10010' });
    const { records, next } = await app.spark.deliveries({ state: 'available', handler: 'mails' }, LIMITED);
    expect([records.map(({ event }) => event.key), next]).toEqual([['order_bad_10010'], undefined]);
    expect(await app.spark.deliveries({ state: 'discarded' }, { ...LIMITED, countUpTo: 9_999 })).toMatchObject({
      count: 397,
    });
    await app.spark.resumeHandler('mails');
    await app.spark.drain();
  });

  it('list the errors of the latest failed attempts', async () => {
    const all = (await app.spark.errors()).records;
    expect(all.map(({ deliveries }) => deliveries)).toEqual([398]);
    expect((await app.spark.errors({}, { readUpTo: 1_000 })).records).toEqual(all);
    expect((await app.spark.errors({ fingerprint: all[0]!.fingerprint }, { readUpTo: 1_000 })).records).toEqual(all);
  });

  it('and an instant is found by few lookups, between any two events', async () => {
    log.statements.length = 0;
    for (const minute of [-60, 0, 1, 17, 39, 40, 9_999]) {
      const from = new Date(start + minute * MINUTE);
      const { count } = await app.spark.events({ from }, { limit: 1, readUpTo: 100_000, countUpTo: 100_000 });
      expect(count).toBe(Math.min(EVENTS, Math.max(0, (40 - minute) * 100)));
    }
    expect(log.statements.length).toBeLessThan(7 * 8);
  });

  it.each([[0], [999], [1.5], ['7' as never]])('%j rows are refused', async (readUpTo) => {
    await expect(app.spark.events({}, { readUpTo })).rejects.toThrow(InvalidOptionsError);
    await expect(app.spark.deliveries({ fingerprint: '0123456789abcdef' }, { readUpTo })).rejects.toThrow(/readUpTo/);
    await expect(app.spark.errors({}, { readUpTo })).rejects.toThrow(/readUpTo/);
  });
});

describe.each(databases)('the figures of Spark, on $name:', (database) => {
  const clock = new TestClock('2026-03-01T10:00:30Z');
  let db: TestDatabase;
  let app: TestApp;

  beforeAll(async () => {
    db = await database.create();
    app = await startApp({ database: db, entities: [Order], providers: [Shop, Limited], clock });
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const emit = (group: string, count: number, from = 100) =>
    app.spark.emit(Array.from({ length: count }, (_, i) => sparkEvent(group, from + i)));

  it('rates are of each minute of the last hour, also of those in which nothing happened', async () => {
    expect((await app.spark.rates()).minutes).toHaveLength(60);
    await emit('order', 3);
    clock.set(clock.now() + 2 * MINUTE);
    await emit('order', 2, 200);
    await emit('nobody', 1);
    const { minutes, isCut } = await app.spark.rates();
    expect(isCut).toBe(false);
    expect(minutes.slice(-4)).toEqual([
      { at: new Date('2026-03-01T09:59:00Z'), events: 0, deliveries: 0 },
      { at: new Date('2026-03-01T10:00:00Z'), events: 3, deliveries: 3 },
      { at: new Date('2026-03-01T10:01:00Z'), events: 0, deliveries: 0 },
      { at: new Date('2026-03-01T10:02:00Z'), events: 3, deliveries: 2 },
    ]);
    expect((await app.spark.rates({ within: '1m' })).minutes).toMatchObject([{ events: 3, deliveries: 2 }]);
    clock.set(clock.now() + 59 * MINUTE);
    expect((await app.spark.rates()).minutes).toMatchObject([
      { events: 3 },
      ...Array.from({ length: 59 }, () => ({ events: 0 })),
    ]);
    await expect(app.spark.rates({ within: '25h' })).rejects.toThrow(/at most a day/);
    await app.spark.drain();
  });

  it('handlers have their patterns and limits', async () => {
    const handlers = await app.spark.handlers();
    expect(handlers.find(({ handler }) => handler === 'limited')).toMatchObject({
      patterns: ['/^limited$/'],
      lastSeen: expect.any(Date),
      limits: {
        priority: 3,
        concurrency: 2,
        fleetConcurrency: 4,
        rateLimit: { max: 5, perMs: 2_000, key: 'tenant' },
        partitionBy: 'tenant',
        timeoutMs: 30_000,
        maxAttempts: 7,
        transactional: true,
        revalidate: false,
      },
    });
    expect(handlers.find(({ handler }) => handler === 'mails')!.limits).toEqual({
      priority: 0,
      concurrency: undefined,
      fleetConcurrency: undefined,
      rateLimit: undefined,
      partitionBy: undefined,
      timeoutMs: 3_600_000,
      maxAttempts: 1,
      transactional: false,
      revalidate: false,
    });
    await app.dataSource
      .query(`INSERT INTO spark_handler (name, version, pattern, priority, revision, first_seen_at, last_seen_at)
      VALUES ('elsewhere', 'a', '/^b/', 0, 1, 1, 1), ('elsewhere', 'b', '/^a/', 0, 1, 1, 2)`);
    expect((await app.spark.handlers()).find(({ handler }) => handler === 'elsewhere')).toMatchObject({
      patterns: ['/^a/', '/^b/'],
      limits: undefined,
      lastSeen: new Date(2),
    });
  });

  it('counts of handlers are the same up to a number, and stop there', async () => {
    await app.spark.pauseHandler('mails');
    await emit('order_bad', 30);
    await app.spark.resumeHandler('mails');
    await app.spark.drain();
    await app.spark.pauseHandler('mails');
    await emit('order_late', 30);
    const mails = async (countUpTo?: number) =>
      (await app.spark.handlers(countUpTo === undefined ? {} : { countUpTo })).find(
        ({ handler }) => handler === 'mails',
      )!;
    const all = await mails();
    expect(all).toMatchObject({
      available: 30,
      waiting: 0,
      running: 0,
      held: 0,
      discarded: 30,
      oldest: new Date(clock.now()),
    });
    expect(await mails(1_000)).toEqual(all);
    const { available, discarded } = await mails(10);
    expect(available).toBe(10);
    expect(discarded).toBeGreaterThan(0);
    expect(discarded).toBeLessThan(30);
    await expect(app.spark.handlers({ countUpTo: 0 })).rejects.toThrow(InvalidOptionsError);
    await app.spark.resumeHandler('mails');
    await app.spark.drain();
  });

  it('held groups come with a sample and a count, which stops, and the first of them can be released', async () => {
    await emit('order_held', 12);
    await emit('order_kept', 7);
    await app.dataSource.query(`UPDATE spark_delivery SET state = 'held' WHERE state = 'available'`);
    const held = await app.spark.held();
    expect(held.map(({ group, deliveries }) => `${group} ${deliveries}`)).toEqual(['order_held 12', 'order_kept 7']);
    expect(held[0]).toMatchObject({ since: new Date(clock.now()) });
    expect(held[0]!.sample.map(({ event }) => event.key)).toEqual(
      [104, 103, 102, 101, 100].map((n) => `order_held_${n}`),
    );
    expect((await app.spark.held({ countUpTo: 15 })).map(({ deliveries }) => deliveries)).toEqual([12, 3]);
    await expect(app.spark.held({ countUpTo: -1 })).rejects.toThrow(InvalidOptionsError);

    expect(await app.spark.release('order_held', { limit: 10, dryRun: true })).toBe(10);
    expect(await app.spark.release('order_held', { limit: 10, chunk: 3 })).toBe(10);
    const left = (await app.spark.deliveries({ state: 'held', group: 'order_held' })).records;
    expect(left.map(({ event }) => event.key)).toEqual(['order_held_111', 'order_held_110']);
    expect(await app.spark.release('order_held', { limit: 10 })).toBe(2);
    await expect(app.spark.release('order_kept', { limit: 0 })).rejects.toThrow(/limit/);
    await expect(app.spark.discard('order_kept', { limit: 1 } as never)).rejects.toThrow(/limit/);
    await app.spark.drain();
    expect(await app.spark.discard('order_kept')).toBe(7);
    expect(await app.spark.retry({}, { limit: 2 })).toBe(2);
    expect(await app.spark.replay({ handler: 'mails', repeat: true, group: 'order' }, { limit: 4 })).toBe(4);
    await app.spark.drain();
  });
});

describe.each(databases)('workers, on $name,', (database) => {
  it('have a lease until later, and say what they handle since when', async () => {
    Slow.begun = 0;
    const db = await database.create();
    const app = await startApp({
      database: db,
      entities: [],
      providers: [Slow],
      spark: { worker: { leaseTtl: '20s' } },
    });
    try {
      for (let tries = 0; (await app.spark.workers()).length === 0 && tries < 500; tries++) await delay(10);
      const [idle] = await app.spark.workers();
      expect(idle).toMatchObject({ pid: process.pid, running: 0, oldest: undefined });
      expect(idle!.leaseUntil.getTime() - Date.now()).toBeGreaterThan(0);
      expect(idle!.leaseUntil.getTime() - Date.now()).toBeLessThan(21_000);
      const before = Date.now();
      await app.spark.emit([sparkEvent('slow', 1), sparkEvent('slow', 2)]);
      for (let tries = 0; Slow.begun < 2 && tries < 500; tries++) await delay(10);
      const [busy] = await app.spark.workers();
      expect(busy).toMatchObject({ id: idle!.id, running: 2 });
      expect(busy!.oldest!.getTime()).toBeGreaterThanOrEqual(before - 1_000);
    } finally {
      Slow.end();
      await app.close();
      await db.drop();
    }
  });
});
