import { Injectable } from '@nestjs/common';
import {
  type CarriedDelivery,
  GroupHandler,
  type HandlerScope,
  type InterceptedDelivery,
  sparkEvent,
  type SparkEvent,
  SparkInterceptor,
  type SparkInterceptorHooks,
} from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Carried, gate } from './support/carried.js';
import { databases } from './support/databases.js';
import { MemoryCarrier } from './support/memory-carrier.js';

describe.each(databases)('deliveries that a carrier brings, on $name', (database) => {
  const on = new Carried(database);
  let hold: Promise<void> | undefined;
  let most = 0;
  let running = 0;

  @Injectable()
  class Handlers {
    @GroupHandler(/^mail/, { name: 'mails' }) mail({ key }: SparkEvent) {
      on.calls.push(key);
    }
    @GroupHandler(/^fails/, { name: 'fails', maxAttempts: 3, backoff: () => 10 }) fail(
      { key }: SparkEvent,
      scope: HandlerScope,
    ) {
      on.calls.push(`${key} ${scope.attempt}`);
      if (scope.attempt < 3) throw new Error('not yet');
    }
    @GroupHandler(/^never/, { name: 'never', maxAttempts: 2, backoff: () => 10 }) never() {
      throw new Error('never');
    }
    @GroupHandler(/^exact/, { name: 'exact', transactional: true }) async exact(
      { key }: SparkEvent,
      scope: HandlerScope,
    ) {
      await scope.manager.query(`INSERT INTO effects (name) VALUES ('${key}')`);
      if (scope.attempt === 1 && key === 'exact_2') throw new Error('rolled back');
    }
    @GroupHandler(/^slow/, { name: 'slow', concurrency: 2 }) async slow({ key }: SparkEvent) {
      most = Math.max(most, ++running);
      on.calls.push(key);
      await hold;
      running--;
    }
    @GroupHandler(/^many/, { name: 'many', batch: { max: 50 } }) many(events: SparkEvent[]) {
      on.calls.push(...events.map(({ key }) => key));
    }
    @GroupHandler(/^rated/, { name: 'rated', rateLimit: { max: 100, per: '1s' } }) rated({ key }: SparkEvent) {
      on.calls.push(key);
    }
    @GroupHandler(/^alone/, { name: 'alone', fleetConcurrency: 1 }) alone({ key }: SparkEvent) {
      on.calls.push(key);
    }
  }

  @Injectable()
  class Tenants {
    @GroupHandler(/^parted/, { name: 'parted', fairBy: 'tenant' }) parted({ key }: SparkEvent) {
      on.calls.push(key);
    }
  }

  const lags: number[] = [];

  @SparkInterceptor()
  @Injectable()
  class Lags implements SparkInterceptorHooks {
    async aroundHandler(delivery: InterceptedDelivery, next: () => Promise<unknown>) {
      lags.push(delivery.lagMs);
      return next();
    }
  }

  it('are handled once each by the processes that work, and reported', async () => {
    const dispatching = await on.start([Handlers], { works: false });
    const working = await on.start([Handlers], { dispatches: false });
    await on.emit(dispatching, 'mail', 250);
    await on.until(() => expect(working.carrier.reports).toHaveLength(250));

    expect(new Set(on.calls).size).toBe(250);
    expect(on.calls).toHaveLength(250);
    const ends = new Set(
      working.carrier.reports.map(({ state, attempt, handler }) => `${state} ${attempt} ${handler}`),
    );
    expect([...ends]).toEqual(['completed 1 mails']);
    expect(new Set(working.carrier.reports.map(({ key }) => key)).size).toBe(250);
    expect(new Set((await on.states(dispatching)).map((state) => state.slice(state.indexOf(' '))))).toEqual(
      new Set([' completed 1']),
    );
    expect(on.queue.sent).toHaveLength(250);
    expect(new Set(on.queue.sent.map(({ ticket }) => ticket)).size).toBe(250);
    expect(on.queue.sent.every(({ ticket }) => !ticket.includes(':') && /\D/.test(ticket))).toBe(true);
  });

  it('are handled once each, however many processes send and work', async () => {
    const apps = [];
    for (let i = 0; i < 3; i++) apps.push(await on.start([Handlers], { window: 20 }));
    for (const group of ['mail_a', 'mail_b', 'mail_c']) await on.emit(apps.pop()!, group, 60);
    await on.until(() => expect(on.calls.length).toBeGreaterThanOrEqual(180));
    expect(new Set(on.calls).size).toBe(180);
    expect(on.calls).toHaveLength(180);
    expect(on.queue.sent).toHaveLength(180);
  });

  it('have their attempts and their backoff, and end discarded after the last', async () => {
    const app = await on.start([Handlers]);
    await on.emit(app, 'fails');
    await on.emit(app, 'never');
    await on.until(async () => expect(await on.states(app)).toEqual(['fails_1 completed 3', 'never_1 discarded 2']));
    expect(on.calls).toEqual(['fails_1 1', 'fails_1 2', 'fails_1 3']);
    await on.until(() => expect(app.carrier.reports).toHaveLength(5));
    const ends = app.carrier.reports.map(({ key, state, attempt }) => `${key} ${state} ${attempt}`);
    expect(ends.toSorted()).toEqual([
      'fails_1 available 1',
      'fails_1 available 2',
      'fails_1 completed 3',
      'never_1 available 1',
      'never_1 discarded 2',
    ]);
    expect(app.carrier.reports.find(({ state }) => state === 'discarded')!.error).toContain('never');
    expect(new Set(on.queue.sent.map(({ ticket }) => ticket)).size).toBe(5);
  });

  it('of transactional handlers take effect exactly once', async () => {
    const app = await on.start([Handlers]);
    await app.dataSource.query('CREATE TABLE effects (name VARCHAR(100))');
    await on.emit(app, 'exact', 3);
    await on.until(async () => expect(await app.dataSource.query('SELECT name FROM effects')).toHaveLength(3));
    await on.until(async () =>
      expect(await on.states(app)).toEqual(['exact_1 completed 1', 'exact_2 completed 2', 'exact_3 completed 1']),
    );
    expect(await app.dataSource.query('SELECT name FROM effects')).toHaveLength(3);
  });

  it('wait for a free slot of their handler', async () => {
    const { opened, open } = gate();
    [hold, most, running] = [opened, 0, 0];
    const app = await on.start([Handlers], { concurrency: 3, batch: 5 });
    await on.emit(app, 'slow', 9);
    await on.emit(app, 'mail', 2);
    await on.until(() => expect(on.calls.filter((key) => key.startsWith('slow'))).toHaveLength(2));
    await on.until(() => expect(on.calls.filter((key) => key.startsWith('mail'))).toHaveLength(2));
    const slow = (await on.states(app)).filter((state) => state.startsWith('slow') && state.includes('running'));
    expect(slow).toHaveLength(2);
    open();
    await on.until(() => expect(app.carrier.reports).toHaveLength(11));
    expect(most).toBe(2);
    expect(on.calls).toHaveLength(11);
  });

  it('are not those of handlers of many events or with limits over all processes: workers claim these themselves', async () => {
    const app = await on.start([Handlers]);
    for (const group of ['many', 'rated', 'alone', 'mail']) await on.emit(app, group, 2);
    await on.until(() => expect(on.calls).toHaveLength(8));
    expect(app.carrier.port!.handlers.map(({ name }) => name)).toEqual(['mails', 'fails', 'never', 'exact', 'slow']);
    expect(on.queue.sent.map(({ handler }) => handler)).toEqual(['mails', 'mails']);
    expect(app.carrier.port!.handlers.find(({ name }) => name === 'slow')).toEqual({
      name: 'slow',
      concurrency: 2,
      priority: 0,
    });
  });

  it('go to a carrier that has room again without a poll, and it is asked for nothing where none is due', async () => {
    let room = 0;
    class Narrow extends MemoryCarrier {
      override room = () => room;
    }
    const app = await on.start([Handlers], new Narrow(on.queue, { works: false }), { worker: { pollInterval: '10m' } });
    await on.emit(app, 'mail', 3);
    await delay(100);
    expect(on.queue.sent).toEqual([]);
    room = 2;
    app.carrier.port!.wake();
    await on.until(() => expect(on.queue.sent.length).toBeGreaterThanOrEqual(2));
    app.carrier.port!.wake();
    await on.until(() => expect(on.queue.sent).toHaveLength(3));
    const { dispatcher } = (app.spark as unknown as { spark: { carrying: { dispatcher: { isShortOfRoom: boolean } } } })
      .spark.carrying;
    await on.until(() => expect(dispatcher.isShortOfRoom).toBe(false));
  });

  it('are taken in the order of their priority, and partitions in turn', async () => {
    const sent: string[] = [];
    class Slow extends MemoryCarrier {
      override room = ({ name }: { name: string }) => (on.queue.count(name) === 0 ? 1 : 0);
      override send(deliveries: readonly CarriedDelivery[]) {
        sent.push(...deliveries.map(({ id, priority }) => `${id} ${priority}`));
        return super.send(deliveries);
      }
    }
    const app = await on.start([Tenants], new Slow(on.queue, { concurrency: 1 }), { autoStart: false });
    const ofTenant = (tenant: string, i: number) =>
      sparkEvent('parted', `${tenant}${i}`, undefined, { metadata: { tenant } });
    await app.spark.emit([...[1, 2, 3].map((i) => ofTenant('a', i)), ...[1, 2, 3].map((i) => ofTenant('b', i))]);
    await app.dataSource.query(`UPDATE spark_delivery SET priority = -5 WHERE id = 3`);
    await app.spark.start();
    await on.until(() => expect(sent).toHaveLength(6));
    expect(sent[0]).toBe('3 -5');
    expect(sent.slice(1).map((one) => (Number(one.split(' ')[0]) <= 3 ? 'a' : 'b'))).toEqual(['b', 'a', 'b', 'a', 'b']);
  });

  it('have waited since they were sent, as interceptors and metrics see them', async () => {
    lags.length = 0;
    const app = await on.start([Handlers], { works: false });
    await on.emit(app, 'mail', 2);
    await on.until(() => expect(on.queue.sent).toHaveLength(2));
    await delay(300);
    await on.start([Handlers, Lags], { dispatches: false });
    await on.until(() => expect(lags).toHaveLength(2));
    for (const lag of lags) expect(lag).toBeGreaterThanOrEqual(295);
    for (const lag of lags) expect(lag).toBeLessThan(30_000);
  });

  it('are as many as the carrier has room for, the others wait for it', async () => {
    const dispatching = await on.start([Handlers], { works: false, window: 10 });
    await on.emit(dispatching, 'mail', 35);
    await on.until(() => expect(on.queue.sent).toHaveLength(10));
    const counts = { available: 25, waiting: 10, dispatched: 10 };
    for (const handlers of [
      (await dispatching.spark.status()).handlers,
      await dispatching.spark.handlers({ countUpTo: 100 }),
    ])
      expect(handlers.find(({ handler }) => handler === 'mails')).toMatchObject(counts);
    await on.start([Handlers], { dispatches: false });
    await on.until(() => expect(on.calls).toHaveLength(35));
    expect(on.queue.sent).toHaveLength(35);
  });
});
