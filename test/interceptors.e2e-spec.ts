import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable, type Provider } from '@nestjs/common';
import {
  DiscardDelivery,
  EventSource,
  GroupHandler,
  type HandlerScope,
  type InterceptedDelivery,
  type InterceptedSource,
  sparkEvent,
  type SparkEvent,
  SparkInterceptor,
  type SparkInterceptorHooks,
  type SparkModuleOptions,
} from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { Column, DataSource, Entity, ManyToOne, OneToMany, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import type { Relation } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Order {
  @PrimaryColumn() id: number;
  @Column({ default: '' }) tenant: string;
  @OneToMany(() => Line, ({ order }) => order) lines: Relation<Line>[];
}

@Entity()
class Line {
  @PrimaryGeneratedColumn() id: number;
  @ManyToOne(() => Order, ({ lines }) => lines) order: Relation<Order>;
}

@Entity()
class Letter {
  @PrimaryGeneratedColumn() id: number;
  @Column() about: string;
}

const tenants = new AsyncLocalStorage<string>();
/** Runs work in another async context, as a queue does. */
const elsewhere = AsyncLocalStorage.snapshot();
const log: string[] = [];
/** What hooks and handlers of a test do. */
let on: Partial<SparkInterceptorHooks> & { handler?: (event: SparkEvent, scope: HandlerScope) => unknown } = {};

@Injectable()
class Shop {
  @EventSource(Order, { name: 'own' }) *own({ id, tenant }: Order) {
    log.push(`own ${tenants.getStore()}`);
    yield sparkEvent('order', id, { id }, { metadata: tenant ? { tenant } : undefined });
  }
  @EventSource(Order, { name: 'lines', relations: { lines: true }, timeout: 300 }) *lines({ id }: Order) {
    log.push(`lines ${tenants.getStore()}`);
    yield sparkEvent('lines', id);
  }
  @EventSource(Order, { name: 'batch', batch: true }) *batch(orders: Order[]) {
    for (const { id } of orders) yield sparkEvent('batch', id);
  }
}

@Injectable()
class Handlers {
  constructor(private readonly dataSource: DataSource) {}

  @GroupHandler(/^(order|plain)$/, { name: 'plain', timeout: 300, backoff: { base: '1s', max: '1s' }, maxAttempts: 2 })
  async plain(event: SparkEvent, scope: HandlerScope) {
    log.push(`plain ${event.key} ${tenants.getStore()}`);
    await on.handler?.(event, scope);
  }

  @GroupHandler(/^transactional$/, { name: 'transactional', transactional: true, maxAttempts: 2 })
  async transactional(event: SparkEvent, scope: HandlerScope) {
    await scope.manager.save(Letter, { about: event.key });
    await on.handler?.(event, scope);
  }

  @GroupHandler(/^follow$/, { name: 'follow' }) async follow() {
    await this.dataSource.manager.save(Order, { id: 77 });
  }
}

const raise = (error: Error): never => {
  throw error;
};
const logged = (what: string) => async (_: unknown, next: () => Promise<void>) => {
  log.push(`outer before ${what}`);
  await next();
  log.push('outer after');
};

@SparkInterceptor()
class Outer implements SparkInterceptorHooks {
  // Without @Injectable() beside it.
  constructor(private readonly dataSource: DataSource) {}

  metadata(event: SparkEvent) {
    return on.metadata?.(event);
  }
  aroundHandler(delivery: InterceptedDelivery, next: () => Promise<void>) {
    const { id, handler, attempt, event } = delivery;
    const what = `${handler} ${event.key} ${attempt} ${typeof id} ${this.dataSource.isInitialized}`;
    return (on.aroundHandler ?? logged(what))(delivery, next);
  }
  aroundSource(run: InterceptedSource, next: () => Promise<void>) {
    return (on.aroundSource ?? logged(`${run.source} ${run.entity} ${run.count}`))(run, next);
  }
  onRecorded(events: readonly SparkEvent[]) {
    return on.onRecorded?.(events);
  }
  onKnown(events: readonly SparkEvent[]) {
    return on.onKnown?.(events);
  }
}

@Injectable()
@SparkInterceptor()
class Inner implements SparkInterceptorHooks {
  metadata({ key }: SparkEvent) {
    return { inner: key, actor: tenants.getStore() };
  }
  aroundHandler(_: InterceptedDelivery, next: () => Promise<void>) {
    log.push('inner before');
    return tenants.run('of the interceptor', next);
  }
  aroundSource(_: InterceptedSource, next: () => Promise<void>) {
    log.push('inner before');
    return tenants.run('of the interceptor', next);
  }
}

@SparkInterceptor()
class Tenants implements SparkInterceptorHooks {
  metadata() {
    return { tenant: tenants.getStore() };
  }
  aroundHandler({ event }: InterceptedDelivery, next: () => Promise<void>) {
    return tenants.run(event.metadata?.tenant as string, next);
  }
}

describe.each(databases)('interceptors go round sources and handlers, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let clock: TestClock;

  beforeEach(async () => {
    db = await database.create();
    clock = new TestClock('2026-03-01T10:00:00Z');
    on = {};
    log.length = 0;
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const start = async (providers: Provider[], spark: SparkModuleOptions = {}) => {
    app = await startApp({
      database: db,
      entities: [Order, Line, Letter],
      providers: [Shop, Handlers, ...providers],
      clock,
      spark,
    });
    log.length = 0;
  };
  const save = (...ids: number[]) =>
    app.dataSource.manager.save(
      Order,
      ids.map((id) => ({ id })),
    );
  const metadata = async () =>
    Object.fromEntries((await app.spark.events()).records.map((event) => [event.key, event.metadata]));
  const states = async () =>
    (await app.spark.deliveries()).records.map(({ handler, state, attempt }) => `${handler} ${state} ${attempt}`);
  const errors = async () => (await app.spark.deliveries()).records.map(({ error }) => error);
  const failures = (where: string) => app.logs.filter((line) => line.includes(`${where} failed`));
  const failed = async () => (await app.spark.status()).counts.failedInterceptors;

  describe('metadata', () => {
    it('of the request reaches the handler, and what the handler saves', async () => {
      await start([Tenants]);
      const { manager } = app.dataSource;
      await tenants.run('acme', () => manager.save(Order, { id: 1 }));
      await tenants.run('bolt', () => app.spark.emit([sparkEvent('plain', 2), sparkEvent('follow', 2)]));
      await tenants.run('cork', () =>
        manager.transaction((inner) => app.spark.emit(sparkEvent('plain', 3), { manager: inner })),
      );
      await save(4);
      await app.spark.drain();
      expect(log.filter((line) => line.startsWith('plain'))).toEqual(
        expect.arrayContaining([
          'plain order_1 acme',
          'plain plain_2 bolt',
          'plain plain_3 cork',
          'plain order_4 undefined',
        ]),
      );
      expect(await metadata()).toMatchObject({ order_77: { tenant: 'bolt' }, order_1: { tenant: 'acme' } });
      // A recheck sees no request.
      expect((await metadata()).lines_1).toBeUndefined();
    });

    it('is merged: what the event has wins, then what inner interceptors add', async () => {
      on.metadata = () => ({ outer: 1, inner: 'outer', tenant: 'outer', gone: undefined });
      await start([Outer, Inner]);
      const seen: unknown[] = [];
      app.spark.events$.subscribe((event) => seen.push(event.metadata));
      await app.dataSource.manager.save(Order, { id: 1, tenant: 'own' });
      const [emitted] = await app.spark.emit(sparkEvent('plain', 1, { a: 1 }, { metadata: { tenant: undefined } }));
      const all = await metadata();
      expect(all.order_1).toEqual({ outer: 1, inner: 'order_1', tenant: 'own' });
      expect(all.plain_1).toEqual({ outer: 1, inner: 'plain_1', tenant: 'outer' });
      expect(seen).toEqual([all.order_1, all.plain_1]);
      expect(emitted).toEqual({ group: 'plain', key: 'plain_1', context: { a: 1 }, metadata: all.plain_1 });
      await app.spark.sweep();
      expect((await metadata()).batch_1).toEqual({ outer: 1, inner: 'batch_1', tenant: 'outer' });
    });

    it('that cannot be stored is left out, and the event is entered all the same', async () => {
      await start([Outer, Inner]);
      const cases: [() => unknown, string][] = [
        [() => raise(new Error('no tenant')), 'no tenant'],
        [() => Promise.reject(new Error('late')), 'metadata is a Promise, not a plain object'],
        [() => ({ at: new Date() }), 'metadata.at is a Date'],
        [() => ({ much: 'x'.repeat(4_090) }), 'metadata takes 4101 bytes'],
      ];
      for (const [i, [hook, reason]] of cases.entries()) {
        on.metadata = hook as never;
        // The log has one line for each minute.
        await app.spark.emit(sparkEvent('plain', i));
        await save(i);
        const all = await metadata();
        expect([all[`plain_${i}`], all[`order_${i}`]]).toEqual([{ inner: `plain_${i}` }, { inner: `order_${i}` }]);
        expect(await failed()).toBe(2 * (i + 1));
        if (i === 0) expect(failures('Outer.metadata')).toEqual([expect.stringContaining(reason)]);
      }
    });

    it('that is too much together leaves out the one that makes it so', async () => {
      on.metadata = () => ({ much: 'x'.repeat(4_080) });
      await start([Outer, Inner]);
      await app.spark.emit(sparkEvent('plain', 1));
      expect(Object.keys((await metadata()).plain_1!)).toEqual(['much']);
      expect(app.logs.join()).toContain('Inner.metadata failed');
    });
  });

  describe('aroundHandler', () => {
    it('nests in the order of the providers, and the handler sees its async context', async () => {
      await start([Outer, Inner]);
      await app.spark.emit(sparkEvent('plain', 1));
      await app.spark.drain();
      expect(log).toEqual([
        'outer before plain plain_1 1 string true',
        'inner before',
        'plain plain_1 of the interceptor',
        'outer after',
      ]);
      expect(await states()).toEqual(['plain completed 1']);
    });

    it('knows how long the delivery has waited since it was due, also that of a retry', async () => {
      const lags: number[] = [];
      on.aroundHandler = ({ lagMs }, next) => {
        lags.push(lagMs);
        return next();
      };
      on.handler = (_, { attempt }) => {
        if (attempt === 1) throw new Error('once more');
      };
      await start([Outer]);
      await app.spark.emit(sparkEvent('plain', 1));
      clock.set(clock.now() + 5_000);
      await app.spark.drain();
      const [waiting] = (await app.spark.deliveries()).records;
      clock.set(waiting!.due.getTime() + 3_000);
      await app.spark.drain();
      expect(lags).toEqual([5_000, 3_000]);
    });

    it('goes round the whole transaction of a transactional handler', async () => {
      await start([Outer]);
      const { manager } = app.dataSource;
      // As another connection sees it.
      const seen = async () => [await states(), await manager.count(Letter)];
      on.aroundHandler = async (_, next) => {
        expect(await seen()).toEqual([['transactional running 1'], 0]);
        await manager.save(Letter, { about: 'before' });
        await next();
        expect(await seen()).toEqual([['transactional completed 1'], 2]);
        log.push('after');
      };
      on.handler = () => Promise.reject(new Error('rolled back'));
      await app.spark.emit(sparkEvent('transactional', 1));
      await app.spark.drain();
      expect(await manager.find(Letter)).toMatchObject([{ about: 'before' }]);
      await manager.clear(Letter);
      on.handler = undefined;
      await app.spark.retry();
      await app.spark.drain();
      expect(log).toEqual(['after']);
    });

    it('what it throws is the failure of the attempt, and the handler is not called', async () => {
      await start([Outer]);
      on.aroundHandler = () => Promise.reject(new Error('no span'));
      await app.spark.emit(sparkEvent('plain', 1));
      await app.spark.drain();
      expect([await states(), await errors()]).toEqual([['plain available 1'], [expect.stringContaining('no span')]]);
      on.aroundHandler = () => {
        throw new DiscardDelivery('given up');
      };
      await new SparkTestKit(app.app).advance('2s');
      expect([await states(), await errors()]).toEqual([['plain discarded 2'], [expect.stringContaining('given up')]]);
      expect(log).toEqual([]);
    });

    it('sees the error of the handler, and may make another one of it, but no success', async () => {
      await start([Outer]);
      on.handler = () => Promise.reject(new Error('out of paper'));
      on.aroundHandler = async (_, next) => next().catch(({ message }: Error) => void log.push(message));
      await app.spark.emit([sparkEvent('plain', 1), sparkEvent('transactional', 1)]);
      await app.spark.drain();
      expect((await states()).toSorted()).toEqual(['plain available 1', 'transactional available 1']);
      expect(log).toEqual(expect.arrayContaining(['out of paper', 'out of paper']));
      expect(await app.dataSource.manager.count(Letter)).toBe(0);
      on.aroundHandler = async (_, next) =>
        next().catch(({ message }: Error) => {
          throw new DiscardDelivery(`because ${message}`);
        });
      await new SparkTestKit(app.app).advance('5s');
      expect(await errors()).toEqual(Array(2).fill(expect.stringContaining('because out of paper')));
      expect((await states()).toSorted()).toEqual(['plain discarded 2', 'transactional discarded 2']);
    });

    it('that does not call next fails the attempt, and one that does not wait is waited for', async () => {
      await start([Outer]);
      on.aroundHandler = async () => undefined;
      await app.spark.emit(sparkEvent('plain', 1));
      await app.spark.drain();
      expect(await errors()).toEqual([expect.stringContaining('Outer.aroundHandler has ended without calling next()')]);
      const ended: string[] = [];
      on.handler = () => delay(50).then(() => ended.push('handler'));
      on.aroundHandler = (_, next) => void [next(), next()] as never;
      await new SparkTestKit(app.app).advance('2s');
      expect(await states()).toEqual(['plain completed 2']);
      expect(ended).toEqual(['handler']);
    });

    it('that fails after next has the handler called again, unless its transaction has committed', async () => {
      await start([Outer]);
      on.aroundHandler = async (_, next) => {
        await next();
        throw new Error('no span');
      };
      await app.spark.emit([sparkEvent('plain', 1), sparkEvent('transactional', 1)]);
      await app.spark.drain();
      expect((await states()).toSorted()).toEqual(['plain available 1', 'transactional completed 1']);
      expect(await app.dataSource.manager.count(Letter)).toBe(1);
      expect(await failed()).toBe(1);
      expect(app.logs.join('\n')).toMatch(
        /aroundHandler of transactional failed; transactional_1 is completed. .*no span/,
      );
      expect(app.logs.join('\n')).not.toMatch('taken over');
    });

    it('that hangs before, after or with the handler ends at its timeout', async () => {
      await start([Outer]);
      const forever = new Promise<never>(() => undefined);
      const seen: string[] = [];
      on.handler = ({ key }) => (key === 'plain_2' ? forever : undefined);
      on.aroundHandler = async ({ event: { key } }, next) => {
        if (key !== 'plain_0') await next().catch(({ name }: Error) => void seen.push(`${key} ${name}`));
        await forever;
      };
      await app.spark.emit([0, 1, 2].map((id) => sparkEvent('plain', id)));
      await app.spark.drain();
      expect(await states()).toEqual(Array(3).fill('plain available 1'));
      expect(await errors()).toEqual(Array(3).fill(expect.stringContaining('HandlerTimeoutError')));
      expect(seen).toEqual(['plain_2 HandlerTimeoutError']);
    });

    it('that calls next after its time calls no handler', async () => {
      await start([Outer]);
      let late: Promise<void> | undefined;
      on.aroundHandler = async (_, next) => {
        await delay(600);
        await (late = next());
      };
      await app.spark.emit([sparkEvent('plain', 1)]);
      await app.spark.drain();
      await delay(500);
      await expect(late).rejects.toThrow('plain');
      expect(log).toEqual([]);
    });

    it('that hangs is left by a shutdown, and the delivery given back', async () => {
      await start([Outer], { shutdownTimeout: 100, worker: { handlerTimeout: '1h' } });
      let begun!: () => void;
      const hanging = new Promise<void>((resolve) => (begun = resolve));
      on.aroundHandler = (_, next) => {
        begun();
        return next();
      };
      on.handler = () => new Promise<never>(() => undefined);
      await app.spark.emit(sparkEvent('transactional', 1));
      void app.spark.drain();
      await hanging;
      await app.close();
      on = {};
      await start([Outer]);
      expect(await states()).toEqual(['transactional available 0']);
      await app.spark.drain();
      expect(await states()).toEqual(['transactional completed 1']);
      expect(await app.dataSource.manager.count(Letter)).toBe(1);
    });

    it('that calls next elsewhere does not take the handler out of the chain of its event', async () => {
      on.aroundHandler = (_, next) => elsewhere(next);
      await start([Outer]);
      await app.spark.emit(sparkEvent('follow', 1));
      await app.spark.drain();
      const depths = await app.dataSource.query(`SELECT event_key, depth FROM spark_event ORDER BY event_key`);
      const depthOf = (key: string) => Number(depths.find((row: any) => row.event_key === key).depth);
      expect([depthOf('follow_1'), depthOf('order_77')]).toEqual([0, 1]);
    });

    it('that calls drain is refused instead of waiting for itself', async () => {
      await start([Outer]);
      on.aroundHandler = async (_, next) => {
        await app.spark.drain();
        await next();
      };
      await app.spark.emit(sparkEvent('plain', 1));
      await app.spark.drain();
      expect(await errors()).toEqual([expect.stringContaining('an interceptor of plain called SparkService.drain()')]);
    });
  });

  describe('aroundSource', () => {
    it('is called once for a source and the entities of a save, of a recheck, and of a page of a sweep', async () => {
      await start([Outer, Inner]);
      await tenants.run('request', () => save(1, 2, 3));
      expect(log).toEqual([
        'outer before own Order 3',
        'inner before',
        ...Array<string>(3).fill('own of the interceptor'),
        'outer after',
      ]);
      log.length = 0;
      await app.spark.drain();
      const runs = () => log.filter((line) => line.startsWith('outer before') && line.includes('Order'));
      expect(runs().toSorted()).toEqual([
        'outer before batch Order 3',
        'outer before lines Order 3',
        'outer before own Order 3',
      ]);
      expect(log).toContain('lines of the interceptor');
      log.length = 0;
      await app.spark.sweep();
      expect(runs().toSorted()).toEqual([
        'outer before batch Order 3',
        'outer before lines Order 3',
        'outer before own Order 3',
      ]);
      log.length = 0;
      await app.spark.explain(Order, 1);
      for await (const _ of app.spark.plan({ entity: Order })) expect(_).toBeDefined();
      expect(runs()).toEqual([]);
    });

    it('that fails or does not call next harms no save, and the entities are rechecked', async () => {
      await start([Outer]);
      on.aroundSource = async ({ source }) => (source === 'own' ? raise(new Error('no span')) : undefined);
      await save(1);
      await app.spark.drain();
      expect(await metadata()).toEqual({});
      expect((await app.spark.status()).counts.failedEntities).toBeGreaterThan(0);
      expect(app.logs.join('\n')).toContain('no span');
      expect(app.logs.join('\n')).toContain('Outer.aroundSource has ended without calling next()');
      on.aroundSource = undefined;
      await new SparkTestKit(app.app).advance('1m');
      expect(Object.keys(await metadata()).toSorted()).toEqual(['batch_1', 'lines_1', 'order_1']);
    });

    it('that fails after next loses no event', async () => {
      await start([Outer]);
      on.aroundSource = async (_, next) => {
        await next();
        throw new Error('no span');
      };
      await save(1);
      expect(Object.keys(await metadata())).toEqual(['order_1']);
    });

    it('that hangs ends at the timeout of the source', async () => {
      await start([Outer], { sources: { timeout: 200 } });
      let late: Promise<void> | undefined;
      on.aroundSource = async ({ source }, next) => {
        if (source === 'own') {
          await delay(600);
          late = next();
        }
        await next();
        await new Promise(() => undefined);
      };
      await save(1);
      expect(await metadata()).toEqual({});
      await app.spark.drain();
      expect(app.logs.join('\n')).toContain('has not gone on within 200 ms');
      expect(app.logs.join('\n')).toContain('has not gone on within 300 ms');
      await delay(500);
      await expect(late).rejects.toThrow('has not gone on');
      expect(log.filter((line) => line.startsWith('own'))).toEqual([]);
      expect(Object.keys(await metadata()).toSorted()).toEqual(['batch_1', 'lines_1']);
    });
  });

  describe('onRecorded', () => {
    it('is notified of new events, after their commit, in the context of the change', async () => {
      const notified: unknown[] = [];
      on.onRecorded = async (events) => {
        const [tenant, keys] = [tenants.getStore(), events.map(({ key }) => key)];
        const known = await app.dataSource.manager.query('SELECT event_key FROM spark_event');
        notified.push([tenant, keys, known.length > 0, events[0]!.metadata?.inner]);
      };
      await start([Outer, Inner]);
      const { manager } = app.dataSource;
      const next = async () => {
        await vi.waitFor(() => expect(notified).not.toEqual([]), { timeout: 20_000 });
        return notified.splice(0);
      };
      await tenants.run('acme', () => manager.save(Order, { id: 1 }));
      expect(await next()).toEqual([['acme', ['order_1'], true, 'order_1']]);
      await tenants.run('bolt', () => app.spark.emit([sparkEvent('plain', 1), sparkEvent('plain', 2)]));
      expect(await next()).toEqual([['bolt', ['plain_1', 'plain_2'], true, 'plain_1']]);
      await save(1);
      await app.spark.emit(sparkEvent('plain', 1));
      await manager
        .transaction(async (inner) => {
          await inner.save(Order, { id: 2 });
          throw new Error('rolled back');
        })
        .catch(() => undefined);
      // None of these is new, so the next notification is of what the drain finds.
      await app.spark.drain();
      expect(await next()).toEqual([[undefined, ['batch_1', 'lines_1'], true, 'batch_1']]);
    });

    it('may write what it is notified of, an audit for example', async () => {
      on.onRecorded = async (events) => {
        for (const { key } of events) await app.dataSource.manager.save(Letter, { about: key });
      };
      await start([Outer]);
      await save(1);
      await app.spark.drain();
      const about = async () => (await app.dataSource.manager.find(Letter)).map((letter) => letter.about).toSorted();
      await expect.poll(about, { timeout: 5_000 }).toEqual(['batch_1', 'lines_1', 'order_1']);
    });

    it('that makes events of what it is notified of is part of their chain, which ends', async () => {
      on.onRecorded = (events) => Promise.all(events.map(({ key }) => save(Number(/\d+/.exec(key)![0]) + 1)));
      await start([Outer]);
      await save(1);
      await expect.poll(async () => (await app.spark.status()).counts.refusedEvents, { timeout: 10_000 }).toBe(1);
      expect(app.logs.join('\n')).toContain('order_18');
      expect(await metadata()).not.toHaveProperty('order_18');
    });

    it('that throws or rejects harms nobody, and is counted', async () => {
      on.onRecorded = () => raise(new Error('no audit'));
      await start([Outer]);
      await save(1);
      on.onRecorded = () => Promise.reject(new Error('no audit'));
      await app.spark.emit(sparkEvent('plain', 1));
      await expect.poll(failed).toBe(2);
      const line = /^error Outer.onRecorded failed; the events are entered\. .*no audit/;
      expect(failures('Outer.onRecorded')).toEqual([expect.stringMatching(line)]);
    });
  });

  describe('onKnown', () => {
    const change = (tenant: string) => app.dataSource.manager.save(Order, { id: 1, tenant });

    it('is notified of events that saves, rechecks and emit make once more, after the commit', async () => {
      const notified: unknown[] = [];
      on.onKnown = (events) => void notified.push([tenants.getStore(), events.map(({ key }) => key).toSorted()]);
      await start([Outer]);
      const { manager } = app.dataSource;
      await save(1);
      await app.spark.emit([sparkEvent('plain', 1), sparkEvent('plain', 1)]);
      expect(notified).toEqual([]);
      await app.spark.drain();
      // A recheck runs all sources of the entity.
      expect(notified.splice(0)).toEqual([[undefined, ['order_1']]]);
      await tenants.run('acme', () => change('a'));
      expect(notified.splice(0)).toEqual([['acme', ['order_1']]]);
      await app.spark.drain();
      expect(notified.splice(0)).toEqual([[undefined, ['batch_1', 'lines_1', 'order_1']]]);
      await tenants.run('bolt', () => app.spark.emit([1, 2, 3].map((id) => sparkEvent('plain', id))));
      expect(notified.splice(0)).toEqual([['bolt', ['plain_1']]]);
      await manager.transaction(async (inner) => {
        await app.spark.emit([sparkEvent('plain', 2), sparkEvent('plain', 3)], { manager: inner });
        expect(notified).toEqual([]);
      });
      expect(notified.splice(0)).toEqual([[undefined, ['plain_2', 'plain_3']]]);
      await manager
        .transaction(async (inner) => {
          await inner.save(Order, { id: 1, tenant: 'b' });
          throw new Error('rolled back');
        })
        .catch(() => undefined);
      await app.spark.sweep();
      expect(notified).toEqual([]);
    });

    it('that throws or rejects harms nobody, and is counted', async () => {
      on.onKnown = () => raise(new Error('no audit'));
      await start([Outer]);
      await save(1);
      await change('a');
      on.onKnown = () => Promise.reject(new Error('no audit'));
      await change('b');
      await expect.poll(failed).toBe(2);
      const line = /^error Outer.onKnown failed; the events were entered before\. .*no audit/;
      expect(failures('Outer.onKnown')).toEqual([expect.stringMatching(line)]);
    });
  });

  it('where there is none, an event is entered as it is', async () => {
    await start([]);
    const event = sparkEvent('plain', 1);
    expect((await app.spark.emit(event))[0]).toBe(event);
    expect((await metadata()).plain_1).toBeUndefined();
  });
});
