import { Injectable } from '@nestjs/common';
import { type CarriedDelivery, GroupHandler, type HandlerScope, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { EntityManager } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestApp } from './support/app.js';
import { Carried, gate } from './support/carried.js';
import { databases } from './support/databases.js';
import { MemoryCarrier, MemoryQueue } from './support/memory-carrier.js';
import { type Program, program } from './support/processes.js';

/** How long a delivery may be on its way in these tests, in ms. */
const TTL = 400;

describe.each(databases)('what a carrier loses, repeats or refuses, on $name', (database) => {
  const on = new Carried(database);

  @Injectable()
  class Handlers {
    @GroupHandler(/^mail/, { name: 'mails' }) mail({ key }: SparkEvent, { attempt }: HandlerScope) {
      on.calls.push(`${key} ${attempt}`);
    }
  }

  @Injectable()
  class Failing {
    @GroupHandler(/^mail/, { name: 'mails', backoff: () => '1h' }) mail(
      { key }: SparkEvent,
      { attempt }: HandlerScope,
    ) {
      on.calls.push(`${key} ${attempt}`);
      throw new Error('no');
    }
  }

  /** Refuses what it is to send, as long as it `refuses`. */
  class Refusing extends MemoryCarrier {
    refuses = true;
    tries = 0;
    override async send(deliveries: Parameters<MemoryCarrier['send']>[0]): Promise<void> {
      this.tries++;
      if (this.refuses) throw new Error('the server is full');
      await super.send(deliveries);
    }
  }

  it('a delivery that got lost is sent again after the ttl, by another ticket, and its attempt is not charged', async () => {
    const dispatching = await on.start([Handlers], { works: false, ttl: TTL });
    await on.emit(dispatching, 'mail');
    await on.until(() => expect(on.queue.sent).toHaveLength(1));
    on.queue.flush();
    const [lost] = await on.rows(dispatching);
    expect(lost).toMatchObject({ state: 'available', attempt: 0 });
    expect(lost!.claimed_by).not.toBeNull();
    await on.start([Handlers], { dispatches: false });
    await on.until(() => expect(on.calls).toEqual(['mail_1 1']));
    expect(on.queue.sent).toHaveLength(2);
    expect(on.queue.sent[0]!.ticket).not.toBe(on.queue.sent[1]!.ticket);
  });

  it('a delivery of a process that died before it could send is sent again after the ttl', async () => {
    const app = await on.start([Handlers], { works: false, window: 0 });
    await on.emit(app, 'mail');
    await app.dataSource.query(`UPDATE spark_delivery SET claimed_by = 'dead', due_at = due_at + ${TTL}`);
    await on.start([Handlers], { ttl: TTL });
    await on.until(() => expect(on.calls).toEqual(['mail_1 1']));
    expect(on.queue.sent).toHaveLength(1);
  });

  it('one that is lost is claimed by a process without a carrier, too', async () => {
    const dispatching = await on.start([Handlers], { works: false, ttl: TTL });
    await on.emit(dispatching, 'mail');
    await on.until(() => expect(on.queue.sent).toHaveLength(1));
    on.queue.flush();
    await dispatching.spark.pause();
    await on.startPlain([Handlers]);
    await on.until(async () => expect(await on.states(dispatching)).toEqual(['mail_1 completed 1']));
    expect(on.calls).toEqual(['mail_1 1']);
  });

  it('a delivery that is brought twice is handled once', async () => {
    const { opened, open } = gate();
    @Injectable()
    class Slow {
      @GroupHandler(/^mail/, { name: 'mails' }) async mail({ key }: SparkEvent) {
        on.calls.push(key);
        await opened;
      }
    }
    const app = await on.start([Slow], { works: false, window: 10 });
    const working = await on.start([Slow], { dispatches: false, batch: 100, concurrency: 10 });
    await on.emit(app, 'mail', 3);
    await on.until(() => expect(on.calls).toHaveLength(3));
    // While it runs, together with itself, and after its end.
    on.queue.push(on.queue.sent.slice(0, 3));
    on.queue.push([...on.queue.sent.slice(0, 3), ...on.queue.sent.slice(0, 3)]);
    await delay(100);
    open();
    await on.until(() => expect(working.carrier.reports).toHaveLength(3));
    on.queue.push(on.queue.sent.slice(0, 3));
    await on.until(() => expect(on.queue.count('mails')).toBe(0));
    await on.until(() => expect(working.carrier.isIdle).toBe(true));
    expect(on.calls).toHaveLength(3);
    expect(working.carrier.reports).toHaveLength(3);
  });

  it('one that is brought late, when it waits for another attempt, is not handled before that', async () => {
    const app = await on.start([Failing]);
    await on.emit(app, 'mail');
    await on.until(async () => expect(await on.states(app)).toEqual(['mail_1 available 1']));
    on.queue.push([on.queue.sent[0]!]);
    await delay(150);
    expect(on.calls).toEqual(['mail_1 1']);
    expect(await on.rows(app)).toMatchObject([{ state: 'available', attempt: 1, claimed_by: null }]);
  });

  it('one that was discarded on its way is not handled; one that is retried by hand is sent again at once', async () => {
    const dispatching = await on.start([Handlers], { works: false, window: 2 });
    await on.emit(dispatching, 'mail', 2);
    await on.until(() => expect(on.queue.sent).toHaveLength(2));
    await dispatching.spark.discard({ key: 'mail_1' });
    await dispatching.spark.retry({ key: 'mail_2' });
    expect((await on.rows(dispatching))[1]).toMatchObject({ state: 'available', attempt: 0, claimed_by: null });
    on.queue.flush();
    await on.until(() => expect(on.queue.sent).toHaveLength(3));
    on.queue.push([on.queue.sent[0]!]);
    await on.start([Handlers], { dispatches: false });
    await on.until(() => expect(on.calls).toEqual(['mail_2 1']));
    await on.until(async () =>
      expect(await on.states(dispatching)).toEqual(['mail_1 discarded 0', 'mail_2 completed 1']),
    );
  });

  it('a take-over that was not answered is given back, and handled once, uncharged', async () => {
    const dispatching = await on.start([Handlers], { works: false });
    const working = await on.start([Handlers], { dispatches: false });
    type TakeOver = (manager: EntityManager, ...given: unknown[]) => Promise<unknown>;
    const { deliveries } = (working.spark as unknown as { spark: { deliveries: { takeOver: TakeOver } } }).spark;
    const { takeOver } = deliveries;
    let failures = 0;
    deliveries.takeOver = async (...given) => {
      const taken = await takeOver.apply(deliveries, given);
      if (failures++ > 0) return taken;
      // On PostgreSQL it has committed.
      throw new Error('no answer');
    };
    await on.emit(dispatching, 'mail');
    await on.until(async () => expect(await on.states(dispatching)).toEqual(['mail_1 completed 1']));
    expect(on.calls).toEqual(['mail_1 1']);
    expect(working.logs.join('\n')).toContain('could not be taken over, and Spark tries again: Error: no answer');
  });

  it('each delivery is handled once, uncharged, whatever a queue between three processes loses, repeats and delays', async () => {
    class Faulty extends MemoryQueue {
      override push(deliveries: readonly CarriedDelivery[]): void {
        const arriving = deliveries.flatMap((delivery) => {
          const fate = Math.random();
          if (fate < 0.15) return [];
          if (fate < 0.3) setTimeout(() => super.push([delivery]), Math.random() * 2 * TTL);
          return fate < 0.3 ? [] : fate < 0.5 ? [delivery, delivery] : [delivery];
        });
        super.push(arriving);
      }
    }
    on.queue = new Faulty();
    const apps: TestApp[] = [];
    for (let i = 0; i < 3; i++)
      apps.push(await on.start([Handlers], { ttl: TTL, window: 30, batch: 7, concurrency: 3 }));
    for (const app of apps) await app.spark.emit(Array.from({ length: 100 }, () => sparkEvent('mail', randomUUID())));
    await on.until(async () => {
      expect((await on.rows(apps[0]!)).filter(({ state }) => state !== 'completed')).toEqual([]);
    }, 30_000);
    await delay(2 * TTL);
    expect(on.calls.every((call) => call.endsWith(' 1'))).toBe(true);
    expect(new Set(on.calls).size).toBe(300);
    expect(on.calls).toHaveLength(300);
  }, 60_000);

  it('what the carrier refuses is available at once, and it is told once, and again when that is over', async () => {
    const carrier = new Refusing(on.queue, { ttl: 60_000 });
    const app = await on.start([Handlers], carrier);
    await on.emit(app, 'mail', 3);
    await on.until(() => expect(carrier.tries).toBeGreaterThan(1));
    const about = (level: string) => app.logs.filter((line) => line.startsWith(level) && line.includes('carrier'));
    expect(about('error')).toHaveLength(1);
    expect(about('error')[0]).toContain('the server is full');
    await on.until(async () =>
      expect(await on.rows(app)).toMatchObject(
        [1, 2, 3].map(() => ({ state: 'available', attempt: 0, claimed_by: null })),
      ),
    );
    carrier.refuses = false;
    await on.until(() => expect(on.calls).toHaveLength(3));
    expect(about('error')).toHaveLength(1);
    expect(about('log').at(-1)).toContain('takes deliveries again');
  });

  it('sending is tried later and later', async () => {
    const carrier = new Refusing(on.queue);
    const app = await on.start([Handlers], carrier);
    await on.emit(app, 'mail', 1);
    await on.until(() => expect(carrier.tries).toBe(1));
    await delay(1_500);
    // After 250 ms, and again after 500 ms.
    expect(carrier.tries).toBeGreaterThanOrEqual(2);
    expect(carrier.tries).toBeLessThanOrEqual(3);
  });

  it('a refusal does not take back what was taken over meanwhile', async () => {
    class Late extends MemoryCarrier {
      override async send(deliveries: Parameters<MemoryCarrier['send']>[0]): Promise<void> {
        await super.send(deliveries);
        await on.until(() => expect(on.calls.length).toBeGreaterThan(0));
        throw new Error('the answer was lost');
      }
    }
    const { opened, open } = gate();
    @Injectable()
    class Slow {
      @GroupHandler(/^mail/, { name: 'mails' }) async mail({ key }: SparkEvent) {
        on.calls.push(key);
        await opened;
      }
    }
    const app = await on.start([Slow], new Late(on.queue));
    await on.emit(app, 'mail');
    await on.until(() => expect(app.logs.some((line) => line.includes('the answer was lost'))).toBe(true));
    await delay(100);
    expect(await on.rows(app)).toMatchObject([{ state: 'running', attempt: 1 }]);
    open();
    await on.until(async () => expect(await on.states(app)).toEqual(['mail_1 completed 1']));
    expect(on.calls).toEqual(['mail_1']);
  });
});

describe('a process that dies while it handles what a carrier brought', () => {
  let carrying: Program;
  beforeAll(async () => {
    carrying = await program('carrying.program.ts');
  }, 60_000);
  afterAll(() => carrying.remove());

  describe.each(databases)('on $name', (database) => {
    const on = new Carried(database);

    @Injectable()
    class Handlers {
      @GroupHandler(/^mail/, { name: 'mails' }) mail({ key }: SparkEvent) {
        on.calls.push(key);
      }
    }

    it('its deliveries are suspects, which workers claim themselves', async () => {
      const recording = await on.startPlain([Handlers], { worker: false });
      const { driver, ...options } = on.db.options as { driver?: unknown };
      const actor = carrying.start({ options, driver: driver !== undefined });
      actor.result.catch(() => undefined);
      const called = new Promise<void>((resolve) =>
        actor.process.on('message', (message: { called?: string }) => message.called && resolve()),
      );
      await on.emit(recording, 'mail', 3);
      await called;
      const running = await on.rows(recording);
      expect(running.some(({ state }) => state === 'running')).toBe(true);
      actor.process.kill('SIGKILL');
      const lease = { leaseTtl: '1.2s', leaseRenewal: '200ms' };
      await on.start([Handlers], { ttl: 60_000 }, { worker: lease });
      await on.until(async () =>
        expect(await on.states(recording)).toEqual(['mail_1 completed 1', 'mail_2 completed 1', 'mail_3 completed 1']),
      );
      // Those that were running were not sent.
      expect(on.queue.sent.length).toBe(3 - running.filter(({ state }) => state === 'running').length);
    }, 30_000);
  });
});
