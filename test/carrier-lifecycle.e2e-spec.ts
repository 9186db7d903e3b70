import { Injectable } from '@nestjs/common';
import {
  type CarriedHandler,
  EventSource,
  GroupHandler,
  InvalidOptionsError,
  sparkEvent,
  type SparkEvent,
} from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { setTimeout as delay } from 'node:timers/promises';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { beforeEach, describe, expect, it } from 'vitest';
import { startApp } from './support/app.js';
import { Carried, gate } from './support/carried.js';
import { databases } from './support/databases.js';
import { MemoryCarrier } from './support/memory-carrier.js';

@Entity()
class Note {
  @PrimaryGeneratedColumn() id: number;
  @Column() text: string;
}

@Injectable()
class Notes {
  @EventSource(Note) *events({ id }: Note) {
    yield sparkEvent('mail', id);
  }
}

/** How long a test waits for something that is not to happen, in ms. */
const REST = 200;

describe.each(databases)('a carrier, from its start to its stop, on $name', (database) => {
  const on = new Carried(database);
  let hold: Promise<void> | undefined;

  beforeEach(() => (hold = undefined));

  @Injectable()
  class Handlers {
    @GroupHandler(/^mail/, { name: 'mails' }) async mail({ key }: SparkEvent) {
      on.calls.push(key);
      await hold;
    }
  }

  @Injectable()
  class Others {
    @GroupHandler(/^file/, { name: 'files' }) file({ key }: SparkEvent) {
      on.calls.push(key);
    }
  }

  it('with autoStart: false nothing is sent or taken over until it is started', async () => {
    const app = await on.start([Handlers], {}, { autoStart: false });
    await on.emit(app, 'mail');
    await delay(REST);
    expect(app.carrier.port).toBeUndefined();
    expect(on.queue.sent).toEqual([]);
    await app.spark.start();
    await on.until(() => expect(on.calls).toEqual(['mail_1']));
  });

  it('a pause sends nothing, takes nothing over, and waits for what is running', async () => {
    const { opened, open } = gate();
    hold = opened;
    const app = await on.start([Handlers]);
    await on.emit(app, 'mail');
    await on.until(() => expect(on.calls).toEqual(['mail_1']));
    let isPaused = false;
    const pause = app.spark.pause().then(() => (isPaused = true));
    await delay(50);
    expect(isPaused).toBe(false);
    open();
    await pause;
    await app.dataSource.query(`UPDATE spark_delivery SET state = 'available', claimed_by = 'another'`);
    on.queue.push([...on.queue.sent]);
    await app.spark.emit(sparkEvent('mail', 2));
    await delay(REST);
    expect(on.calls).toEqual(['mail_1']);
    expect(on.queue.sent).toHaveLength(2);
    await app.spark.start();
    await on.until(() => expect(on.calls.toSorted()).toEqual(['mail_1', 'mail_1', 'mail_2']));
  });

  it('deliveries of a paused handler are not sent, and those on their way are not taken over', async () => {
    const dispatching = await on.start([Handlers], { works: false });
    await on.emit(dispatching, 'mail');
    await on.until(() => expect(on.queue.sent).toHaveLength(1));
    await dispatching.spark.pauseHandler('mails');
    const working = await on.start([Handlers], { dispatches: false });
    await on.until(() => expect(on.queue.count('mails')).toBe(0));
    await on.until(async () =>
      expect(await on.rows(dispatching)).toMatchObject([{ state: 'available', attempt: 0, claimed_by: null }]),
    );
    await delay(REST);
    expect(on.queue.sent).toHaveLength(1);
    await working.spark.resumeHandler('mails');
    await on.until(() => expect(on.calls).toEqual(['mail_1']));
  });

  it('a shutdown waits for what was taken over, and leaves what has no slot yet to others at once', async () => {
    const { opened, open } = gate();
    hold = opened;
    const dispatching = await on.start([Handlers], { works: false });
    const working = await on.start([Handlers], { dispatches: false, batch: 5 }, { worker: { concurrency: 1 } });
    await on.emit(dispatching, 'mail', 2);
    await on.until(() => expect(on.calls).toHaveLength(1));
    await on.until(() => expect(on.queue.count('mails')).toBe(0));
    const closed = working.close();
    await on.until(async () => {
      const rows = await on.rows(dispatching);
      expect(rows.map(({ state }) => state).toSorted()).toEqual(['available', 'running']);
    });
    await on.until(() => expect(on.queue.sent.length).toBeGreaterThan(2));
    open();
    await closed;
    expect(working.carrier.reports.map(({ state }) => state)).toEqual(['completed']);
    await on.start([Handlers], { dispatches: false });
    await on.until(async () =>
      expect(await on.states(dispatching)).toEqual(['mail_1 completed 1', 'mail_2 completed 1']),
    );
    expect(on.calls).toHaveLength(2);
  });

  it('a handler that does not end in shutdownTimeout is aborted, and its delivery is given back', async () => {
    hold = new Promise(() => {});
    const app = await on.start([Handlers], {}, { shutdownTimeout: '100ms' });
    const recording = await on.startPlain([Handlers], { worker: false });
    await on.emit(app, 'mail');
    await on.until(() => expect(on.calls).toHaveLength(1));
    await app.close();
    const [row] = await on.rows(recording);
    expect(row).toMatchObject({ state: 'available', attempt: 0, claimed_by: null });
    expect(row!.due_at).toBeLessThanOrEqual(Date.now());
    expect(app.carrier.reports).toMatchObject([{ state: 'available', attempt: 1 }]);
  });

  it('workers of a process that falls back claim what would be carried, until it does so no more', async () => {
    const app = await on.start([Handlers], { window: 0 });
    await on.emit(app, 'mail');
    await delay(REST);
    expect(on.calls).toEqual([]);
    app.carrier.port!.fallBack(true);
    await on.until(() => expect(on.calls).toEqual(['mail_1']));
    app.carrier.port!.fallBack(false);
    await app.spark.emit(sparkEvent('mail', 2));
    await delay(REST);
    expect(on.calls).toEqual(['mail_1']);
  });

  it('a process that does not work calls no handler, even if it falls back', async () => {
    const app = await on.start([Handlers], { works: false });
    app.carrier.port!.fallBack(true);
    await on.emit(app, 'mail');
    await on.until(() => expect(on.queue.sent).toHaveLength(1));
    expect(await app.carrier.port!.handle(on.queue.sent)).toEqual([]);
    await app.spark.drain();
    await delay(REST);
    expect(on.calls).toEqual([]);
  });

  it('a process that does not dispatch sends nothing', async () => {
    const app = await on.start([Handlers], { dispatches: false });
    await on.emit(app, 'mail');
    await delay(REST);
    expect(on.queue.sent).toEqual([]);
    expect(on.calls).toEqual([]);
  });

  it('what is brought to a process without the handler is left to others, uncharged', async () => {
    const dispatching = await on.start([Handlers, Others], { works: false });
    await on.start([Others], { dispatches: false });
    await on.emit(dispatching, 'mail');
    await on.until(() => expect(on.queue.count('mails') + on.queue.sent.length).toBe(1));
    await on.until(async () =>
      expect(await on.rows(dispatching)).toMatchObject([{ state: 'available', attempt: 0, claimed_by: null }]),
    );
    const [row] = await on.rows(dispatching);
    // It is not brought there again and again.
    expect(row!.due_at).toBeGreaterThan(Date.now() + 1_000);
  });

  it('what a process cannot decide on, as it lacks an entity, is left to others, uncharged', async () => {
    const knowing = await on.start([Handlers], { works: false }, {}, [Note]);
    const { manager } = knowing.dataSource;
    const note = await manager.save(manager.create(Note, { text: 'a' }));
    const lacking = await on.start([Handlers], { dispatches: false });
    await knowing.spark.emit(sparkEvent('mail', 1, { note }));
    await on.until(() => expect(lacking.logs.join('\n')).toContain('are left to other processes'));
    const [row] = await on.rows(knowing);
    expect(row).toMatchObject({ state: 'available', attempt: 0, claimed_by: null });
    // It is not brought there again and again.
    expect(row!.due_at).toBeGreaterThan(Date.now() + 1_000);
    expect(on.calls).toEqual([]);
    expect(lacking.carrier.reports).toEqual([]);
    await lacking.close();
    await knowing.dataSource.query(`UPDATE spark_delivery SET due_at = 1`);
    await on.start([Handlers], { dispatches: false }, {}, [Note]);
    await on.until(() => expect(on.calls).toEqual(['mail_1']));
  });

  it('a drain handles everything in its process', async () => {
    const clock = new TestClock('2026-06-01T12:00:00Z');
    const carrier = new MemoryCarrier(on.queue);
    const app = await startApp({
      database: on.db,
      entities: [],
      providers: [Handlers],
      clock,
      spark: { worker: { carrier } },
    });
    await on.emit(app, 'mail', 3);
    await new SparkTestKit(app.app).drain();
    expect(on.calls).toHaveLength(3);
    expect(on.queue.sent).toEqual([]);
    await app.close();
  });

  it('a carrier that does not start does not keep the application from booting', async () => {
    class Hanging extends MemoryCarrier {
      override start = () => new Promise<void>(() => {});
    }
    const app = await on.start([Handlers], new Hanging(on.queue));
    expect(app.logs.join('\n')).toContain('The carrier has not started for 5000 ms');
  }, 20_000);

  it('a carrier that cannot start fails the boot', async () => {
    class Broken extends MemoryCarrier {
      override start = () => Promise.reject(new Error('no such server'));
    }
    await expect(on.start([Handlers], new Broken(on.queue))).rejects.toThrow('no such server');
  });

  it('an error in room reaches no save', async () => {
    class Broken extends MemoryCarrier {
      isBroken = true;
      override room(handler: CarriedHandler): number {
        if (this.isBroken) throw new Error('no connection');
        return super.room(handler);
      }
    }
    const carrier = new Broken(on.queue);
    const app = await on.start([Handlers], carrier);
    await on.emit(app, 'mail');
    await delay(REST);
    expect(app.logs.filter((line) => line.includes('no connection'))).toHaveLength(1);
    carrier.isBroken = false;
    await on.until(() => expect(on.calls).toEqual(['mail_1']));
  });

  it('an option that is no carrier is refused', async () => {
    for (const wrong of [{}, 'bullmq', null, new MemoryCarrier(on.queue, { ttl: 0 })])
      await expect(on.startPlain([Handlers], { worker: { carrier: wrong as never } })).rejects.toThrow(
        InvalidOptionsError,
      );
  });

  it('explain says that a delivery is on its way, and when it is back', async () => {
    const app = await on.start([Handlers, Notes], { works: false }, {}, [Note]);
    const { id } = await app.dataSource.manager.save(Note, { text: 'a' });
    await on.until(() => expect(on.queue.sent).toHaveLength(1));
    const { words, events } = await app.spark.explain(Note, id);
    const [delivery] = events[0]!.deliveries;
    expect(delivery).toMatchObject({ state: 'available', dispatched: true });
    expect(words.at(-1)).toBe(
      `mail_${id} → mails: is on its way to a process by the carrier; if it gets lost, it is back at ${delivery!.due.toISOString()}.`,
    );
  });

  it('status and the list of deliveries show what is on its way', async () => {
    const app = await on.start([Handlers], { works: false });
    await on.emit(app, 'mail');
    await on.until(() => expect(on.queue.sent).toHaveLength(1));
    const { workers, orphans } = await app.spark.status();
    const { records } = await app.spark.deliveries({ state: 'available' });
    expect(records).toMatchObject([{ handler: 'mails', attempt: 0, worker: workers[0]!.id }]);
    expect(records[0]!.due.getTime()).toBeGreaterThan(Date.now());
    expect(orphans).toEqual([]);
    const { backlog, lease } = await app.spark.health();
    expect(backlog).toEqual([]);
    expect(lease).toBe('held');
  });
});
