import { Injectable, type Provider } from '@nestjs/common';
import {
  BatchError,
  type BatchHandlerOptions,
  type BatchScope,
  type DeliveryReport,
  DiscardDelivery,
  GroupHandler,
  type InterceptedDelivery,
  RetryLater,
  sparkEvent,
  type SparkEvent,
  SparkInterceptor,
  type SparkInterceptorHooks,
  type SparkModuleOptions,
} from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { setTimeout as delay } from 'node:timers/promises';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Letter {
  @PrimaryGeneratedColumn() id: number;
  @Column() about: string;
}

/** A call of the handler. */
interface Call {
  readonly keys: readonly string[];
  readonly scope: BatchScope;
  readonly at: number;
}
let calls: Call[];
/** What the handler does with its events. */
let work: (events: readonly SparkEvent[], scope: BatchScope) => unknown;
let running: { now: number; most: number };

type Options = Partial<Omit<BatchHandlerOptions, 'batch'>> & { readonly batch: BatchHandlerOptions['batch'] };

function handlerWith(options: Options): Provider {
  @Injectable()
  class Handlers {
    @GroupHandler(/^item/, { name: 'index', backoff: () => 60_000, ...options })
    async index(events: SparkEvent[], scope: BatchScope) {
      calls.push({ keys: events.map(({ key }) => key), scope, at: performance.now() });
      // A call of an earlier test may still be going on.
      const own = running;
      own.most = Math.max(own.most, ++own.now);
      try {
        await work(events, scope);
      } finally {
        own.now--;
      }
    }

    @GroupHandler(/^note/, { name: 'notes' })
    note({ key }: SparkEvent) {
      calls.push({ keys: [key], scope: {} as BatchScope, at: performance.now() });
    }
  }
  return Handlers;
}

const items = (count: number, first = 0, options: object = {}) =>
  Array.from({ length: count }, (_, i) => sparkEvent('item', first + i, { number: first + i }, options));
const START = Date.parse('2026-06-01T12:00:00Z');

describe.each(databases)('handlers of many events, on $name', (database) => {
  let db: TestDatabase;
  let apps: TestApp[];
  let kit: SparkTestKit;
  let reports: DeliveryReport[];

  beforeEach(async () => {
    db = await database.create();
    [apps, calls, reports] = [[], [], []];
    work = () => undefined;
    running = { now: 0, most: 0 };
  });
  afterEach(async () => {
    for (const app of apps) await app.close();
    await db.drop();
  });

  const start = async (options: Options, spark: SparkModuleOptions = {}, providers: Provider[] = []) => {
    const app = await startApp({
      database: db,
      entities: [Letter],
      providers: [handlerWith(options), ...providers],
      spark: { worker: { pollInterval: '50ms', concurrency: 5 }, ...spark },
    });
    app.spark.deliveries$.subscribe((report) => reports.push(report));
    apps.push(app);
    return app;
  };
  /** An application in which nothing runs by itself. */
  const startTimed = async (options: Options, providers: Provider[] = []) => {
    const clock = new TestClock(START);
    const app = await startApp({
      database: db,
      entities: [Letter],
      providers: [handlerWith(options), ...providers],
      clock,
    });
    app.spark.deliveries$.subscribe((report) => reports.push(report));
    apps.push(app);
    kit = new SparkTestKit(app.app);
    return app;
  };
  const states = async () => {
    const rows: Record<string, string> = {};
    for (const { key, state, attempt } of await kit.deliveries('index')) rows[key] = `${state} ${attempt}`;
    return rows;
  };
  const handled = () => calls.flatMap(({ keys }) => keys);

  it('get lists of at most `max` events, each event once, in the order of the ledger', async () => {
    const app = await startTimed({ batch: { max: 4 } });
    await app.spark.emit(items(10));
    await kit.drain();
    // Calls of several slots may begin in any order.
    calls.sort((a, b) => (a.keys[0]! < b.keys[0]! ? -1 : 1));
    expect(calls.map(({ keys }) => keys)).toEqual([
      ['item_0', 'item_1', 'item_2', 'item_3'],
      ['item_4', 'item_5', 'item_6', 'item_7'],
      ['item_8', 'item_9'],
    ]);
    expect(Object.values(await states())).toEqual(Array(10).fill('completed 1'));
    expect(reports.filter(({ state }) => state === 'completed')).toHaveLength(10);
    const { scope } = calls[0]!;
    expect(scope).toMatchObject({ key: undefined, attempts: [1, 1, 1, 1] });
    const idOf = (key: string) => reports.find((report) => report.key === key)!.deliveryId;
    expect(scope.deliveryIds).toEqual(calls[0]!.keys.map(idOf));
    expect(() => scope.manager).toThrow('transactional');
  });

  it('wait for more events, and not for longer than `wait`', async () => {
    const app = await start({ batch: { max: 50, wait: '3s' } });
    const since = performance.now();
    for (const item of items(5)) {
      await app.spark.emit(item);
      await delay(20);
    }
    await vi.waitFor(() => expect(handled()).toHaveLength(5), 15_000);
    expect(calls).toHaveLength(1);
    expect(calls[0]!.at - since).toBeGreaterThan(2_900);
  });

  it('begin before `wait` is over when there are `max` events', async () => {
    const app = await start({ batch: { max: 3, wait: '1 minute' } });
    await app.spark.emit(items(7));
    await vi.waitFor(() => expect(handled()).toHaveLength(6), 15_000);
    await delay(300);
    expect(calls.map(({ keys }) => keys.length)).toEqual([3, 3]);
    // What is left waits. A drain does not.
    await app.spark.drain();
    expect(calls.map(({ keys }) => keys.length)).toEqual([3, 3, 1]);
  });

  it('fail with all of their events, which are due again together', async () => {
    const app = await startTimed({ batch: { max: 10 }, backoff: { base: '1m', max: '1h' } });
    work = () => Promise.reject(new Error('on purpose'));
    await app.spark.emit(items(3));
    await kit.drain();
    const deliveries = await kit.deliveries('index');
    expect(deliveries.map(({ state, attempt, error }) => [state, attempt, error?.split('\n')[0]])).toEqual(
      Array.from({ length: 3 }, () => ['available', 1, 'Error: on purpose']),
    );
    expect(new Set(deliveries.map(({ dueAt }) => dueAt.getTime())).size).toBe(1);
    work = () => undefined;
    await kit.advance('1h');
    expect(calls.map(({ keys, scope }) => [keys.length, scope.attempts])).toEqual([
      [3, [1, 1, 1]],
      [3, [2, 2, 2]],
    ]);
  });

  it('complete all events but those of a BatchError, which fail each with its own error', async () => {
    const app = await startTimed({ batch: { max: 10 } });
    work = (events) => {
      const [first, , third, fourth] = events as [SparkEvent, SparkEvent, SparkEvent, SparkEvent];
      const errors = new Map<string | SparkEvent, unknown>([
        [first, new DiscardDelivery('no such item')],
        [third.key, undefined],
        [fourth, new RetryLater('5s', 'busy')],
      ]);
      throw new BatchError(errors, 'the index refuses some');
    };
    await app.spark.emit(items(5));
    await kit.drain();
    expect(await states()).toEqual({
      item_0: 'discarded 1',
      item_1: 'completed 1',
      item_2: 'available 1',
      item_3: 'available 0',
      item_4: 'completed 1',
    });
    const errors = (await kit.deliveries('index')).map(({ error }) => error?.split('\n')[0] ?? null);
    expect(errors).toEqual([
      'DiscardDelivery: no such item',
      null,
      'BatchError: the index refuses some',
      expect.stringContaining('busy'),
      null,
    ]);
  });

  it('fail with all of their events after a BatchError that names others, or none', async () => {
    const app = await startTimed({ batch: { max: 10 } });
    work = () => {
      throw new BatchError(['item_9']);
    };
    await app.spark.emit(items(2));
    await kit.drain();
    expect(await states()).toEqual({ item_0: 'available 1', item_1: 'available 1' });
    expect((await kit.deliveries('index'))[0]!.error).toContain('item_9, which is no event of this call');
    work = () => {
      throw new BatchError([]);
    };
    await kit.advance('61s');
    expect(await states()).toEqual({ item_0: 'available 2', item_1: 'available 2' });
    expect((await kit.deliveries('index'))[0]!.error).toContain('at least one event');
  });

  it('are called without events that are over, that have no attempt left or whose context cannot be read', async () => {
    const app = await startTimed({ batch: { max: 10 }, maxAttempts: 2 });
    work = (events) => {
      throw new BatchError(events.filter(({ key }) => key === 'item_1'));
    };
    const until = new Date(START + 30_000);
    await app.spark.emit(items(2));
    await kit.drain();
    await app.spark.emit([...items(1, 2, { until }), ...items(2, 3)]);
    await app.dataSource.query(`UPDATE spark_event SET context = 'broken' WHERE event_key = 'item_3'`);
    await app.dataSource.query(`UPDATE spark_delivery SET attempt = 2 WHERE state = 'available' AND attempt = 1`);
    work = () => undefined;
    calls = [];
    kit.clock.set(START + 120_000);
    await kit.drain();
    expect(handled()).toEqual(['item_4']);
    const all = await states();
    expect(all).toMatchObject({
      item_0: 'completed 1',
      item_1: 'discarded 3',
      item_2: 'skipped 1',
      item_4: 'completed 1',
    });
    expect(all.item_3).not.toContain('completed');
  });

  it('run in one transaction with the completion of their events, and again without those of a BatchError', async () => {
    const app = await startTimed({ batch: { max: 10 }, transactional: true });
    work = async (events, { manager }) => {
      for (const { key } of events) await manager.save(Letter, { about: key });
      const failed = events.filter(({ key }) => key === 'item_1');
      if (failed.length > 0) throw new BatchError(failed);
    };
    await app.spark.emit(items(3));
    await kit.drain();
    expect(calls.map(({ keys }) => keys)).toEqual([
      ['item_0', 'item_1', 'item_2'],
      ['item_0', 'item_2'],
    ]);
    expect(await states()).toEqual({ item_0: 'completed 1', item_1: 'available 1', item_2: 'completed 1' });
    const letters = await app.dataSource.manager.find(Letter, { order: { id: 'ASC' } });
    expect(letters.map(({ about }) => about)).toEqual(['item_0', 'item_2']);
    // Nothing is written where all fail.
    work = async (events, { manager }) => {
      await manager.save(Letter, { about: 'lost' });
      throw new Error('on purpose');
    };
    await kit.advance('61s');
    expect(await app.dataSource.manager.countBy(Letter, { about: 'lost' })).toBe(0);
    expect(await states()).toMatchObject({ item_1: 'available 2' });
  });

  it('reach their timeout with all of their events', async () => {
    const app = await start({ batch: { max: 10 }, timeout: 100 });
    let reason: unknown;
    work = (_, { signal }) => {
      signal.addEventListener('abort', () => (reason = signal.reason));
      return delay(10_000, undefined, { ref: false });
    };
    await app.spark.emit(items(3));
    await vi.waitFor(() => expect(reports).toHaveLength(3), 15_000);
    expect(reports.map(({ state, error }) => [state, error?.split(':')[0]])).toEqual(
      Array.from({ length: 3 }, () => ['available', 'HandlerTimeoutError']),
    );
    expect(reason).toMatchObject({ name: 'HandlerTimeoutError' });
  });

  it('take one slot for a call, so that other handlers go on', async () => {
    const app = await start({ batch: { max: 5 }, concurrency: 2 });
    const waiting: (() => void)[] = [];
    work = () => new Promise<void>((resolve) => waiting.push(resolve));
    await app.spark.emit(items(30));
    await vi.waitFor(() => expect(running.now).toBe(2), 15_000);
    await app.spark.emit(sparkEvent('note', 1));
    await vi.waitFor(() => expect(handled()).toContain('note_1'), 15_000);
    work = () => delay(20);
    for (const resolve of waiting) resolve();
    await vi.waitFor(() => expect(handled().filter((key) => key.startsWith('item'))).toHaveLength(30), 15_000);
    expect(running.most).toBe(2);
  });

  it('give their events back, uncharged, when the process stops', async () => {
    const app = await start({ batch: { max: 10 } }, { shutdownTimeout: 50 });
    work = () => delay(30_000, undefined, { ref: false });
    await app.spark.emit(items(4));
    await vi.waitFor(() => expect(running.now).toBe(1), 15_000);
    await app.close();
    apps = [];
    work = () => undefined;
    const other = await start({ batch: { max: 10 } });
    await vi.waitFor(() => expect(reports.filter(({ state }) => state === 'completed')).toHaveLength(4), 15_000);
    expect(reports.filter(({ state }) => state === 'completed').map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1]);
    expect(other.logs.filter((line) => line.startsWith('error'))).toEqual([]);
  });

  it('count calls against their limits over all processes', async () => {
    const options = { batch: { max: 5 }, rateLimit: { max: 2, per: '1s' }, fleetConcurrency: 1 };
    const one = await start(options);
    await start(options);
    work = () => delay(10);
    await one.spark.emit(items(25));
    await vi.waitFor(() => expect(new Set(handled()).size).toBe(25), 20_000);
    expect(handled()).toHaveLength(25);
    expect(running.most).toBe(1);
    // Calls that came too late for the rate may be formed anew. Single events would take 25.
    expect(calls.length).toBeLessThan(10);
    const times = calls.map(({ at }) => at).sort((a, b) => a - b);
    for (const [i, at] of times.entries()) expect((times[i + 2] ?? Infinity) - at).toBeGreaterThanOrEqual(1_000);
  });

  it('have events of one partition in a call', async () => {
    const app = await startTimed({ batch: { max: 10 }, fairBy: 'tenant' });
    const of = (tenant: string, first: number) => items(3, first, { metadata: { tenant } });
    await app.spark.emit([...of('a', 0), ...of('b', 3)]);
    await kit.drain();
    expect(calls.map(({ keys }) => keys).sort()).toEqual([
      ['item_0', 'item_1', 'item_2'],
      ['item_3', 'item_4', 'item_5'],
    ]);
  });

  it('are one call for interceptors, which see all deliveries', async () => {
    const seen: InterceptedDelivery[] = [];
    @SparkInterceptor()
    class Watch implements SparkInterceptorHooks {
      async aroundHandler(delivery: InterceptedDelivery, next: () => Promise<void>) {
        seen.push(delivery);
        await next();
      }
    }
    const app = await startTimed({ batch: { max: 10 } }, [Watch]);
    await app.spark.emit([...items(2), sparkEvent('note', 1)]);
    await kit.drain();
    const many = seen.filter(({ handler }) => handler === 'index');
    expect(many).toHaveLength(1);
    expect(many[0]!.event.key).toBe('item_0');
    expect(many[0]!.batch!.map(({ event, attempt }) => [event.key, attempt])).toEqual([
      ['item_0', 1],
      ['item_1', 1],
    ]);
    expect(seen.find(({ handler }) => handler === 'notes')!.batch).toBeUndefined();
  });

  it('refuse, when the application starts, options that do not fit', async () => {
    const refused = async (options: object, part: string) =>
      expect(startTimed(options as Options)).rejects.toThrow(part);
    await refused({ batch: { max: 0 } }, 'batch.max of @GroupHandler');
    await refused({ batch: { max: 1_001 } }, 'a whole number from 1 to 1000');
    await refused({ batch: { wait: 'soon' } }, 'batch.wait');
    await refused({ batch: { size: 5 } }, 'batch.size');
    await refused({ batch: true }, 'batch of @GroupHandler');
    await refused({ batch: { throttle: '1h' } }, 'batch.throttle');
    await refused({ batch: { quiet: { from: '22:00', to: '07:00' } } }, 'batch.quiet');
    await refused({ batch: { by: () => 'a' } }, 'batch.wait');
    await refused({ batch: { by: 'a', wait: 1 } }, 'batch.by');
    await refused({ batch: { by: () => 'a', wait: 1, quiet: { from: '22', to: '07:00' } } }, 'batch.quiet.from');
    await refused({ batch: { by: () => 'a', wait: 1 }, fairBy: 'tenant' }, 'fairBy');
  });
});
