import { Injectable, type Provider } from '@nestjs/common';
import {
  type BatchHandlerOptions,
  type BatchScope,
  EventSource,
  GroupHandler,
  sparkEvent,
  type SparkEvent,
  type SparkModuleOptions,
} from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { setTimeout as delay } from 'node:timers/promises';
import { Column, Entity, type EntityManager, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { QueryLog } from './support/query-log.js';

@Entity()
class Gift {
  @PrimaryColumn() id: number;
  @Column() to: string;
}

/** The parts of a SparkModule, as far as this file reads them. */
interface Spark {
  readonly maintenance: { run(): Promise<number> };
  readonly gathered: {
    add(manager: EntityManager, waiting: readonly { delivery: { id: string } }[]): Promise<unknown>;
  };
  readonly deliveries: {
    readonly digests: { free(manager: EntityManager, wanted: object): Promise<unknown> };
  };
}

type Context = { readonly to: string } | { readonly gift: Gift };
type Options = Partial<Omit<BatchHandlerOptions, 'batch'>> & { readonly batch?: Partial<BatchHandlerOptions['batch']> };

interface Call {
  readonly key: string | undefined;
  readonly keys: readonly string[];
  /** In minutes after the start. */
  readonly at: number;
}
let calls: Call[];
/** What the handler does. */
let work: (events: readonly SparkEvent<Context>[]) => unknown;
let clock: TestClock;
const start = Date.parse('2026-06-01T12:00:00Z');

const recipient = ({ context }: SparkEvent<Context>): string => ('gift' in context ? context.gift.to : context.to);

function digests({ batch, ...options }: Options): Provider {
  @Injectable()
  class Digests {
    @EventSource(Gift) *gifts(gift: Gift) {
      yield sparkEvent('gift', gift.id, { gift });
    }

    @GroupHandler(/^(mail|gift)/, {
      name: 'digests',
      backoff: () => 60_000,
      ...options,
      batch: { by: recipient, wait: '1h', ...batch },
    })
    async send(events: SparkEvent<Context>[], { key }: BatchScope) {
      calls.push({ key, keys: events.map((event) => event.key), at: (clock.now() - start) / 60_000 });
      await work(events);
    }
  }
  return Digests;
}

const mail = (id: number, to = 'ann') => sparkEvent('mail', id, { to });

describe.each(databases)('digests, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let kit: SparkTestKit;

  beforeEach(async () => {
    db = await database.create();
    calls = [];
    work = () => undefined;
    clock = new TestClock(start);
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const startTimed = async (options: Options = {}, dataSource = {}) => {
    app = await startApp({ database: db, entities: [Gift], providers: [digests(options)], clock, dataSource });
    kit = new SparkTestKit(app.app);
  };
  /** Emits an event now, and handles what is due. */
  const emit = async (...events: SparkEvent[]) => {
    await app.spark.emit(events);
    await kit.drain();
  };
  const states = async () => (await kit.deliveries('digests')).map(({ state, attempt }) => `${state} ${attempt}`);
  const parts = () => (app.spark as unknown as { spark: Spark }).spark;
  const maintain = () => parts().maintenance.run();
  const gathered = async () => Number((await app.dataSource.query('SELECT COUNT(*) AS n FROM spark_gathered'))[0].n);

  it('are one call for each key, an hour after its first event', async () => {
    await startTimed();
    await emit(mail(1, 'ann'));
    await kit.advance('20m');
    await emit(mail(2, 'bob'), mail(3, 'ann'));
    await kit.advance('39m');
    await emit(mail(4, 'ann'));
    expect(calls).toEqual([]);
    expect(await gathered()).toBe(4);
    await kit.advance('3h');
    expect(calls).toEqual([
      { key: 'ann', keys: ['mail_1', 'mail_3', 'mail_4'], at: 60 },
      { key: 'bob', keys: ['mail_2'], at: 80 },
    ]);
    expect(await states()).toEqual(Array(4).fill('completed 1'));
    expect(await gathered()).toBe(0);
    // The next event opens the next window.
    await emit(mail(5, 'ann'));
    await kit.advance('1h');
    expect(calls.at(-1)).toEqual({ key: 'ann', keys: ['mail_5'], at: 59 + 180 + 60 });
  });

  it('have at most `max` events; what is more is in the next window', async () => {
    await startTimed({ batch: { max: 2 } });
    await emit(mail(1));
    await kit.advance('10m');
    await emit(mail(2), mail(3));
    await kit.advance('2h');
    expect(calls).toEqual([
      { key: 'ann', keys: ['mail_1', 'mail_2'], at: 60 },
      { key: 'ann', keys: ['mail_3'], at: 70 },
    ]);
  });

  it('of many keys cost few statements', async () => {
    const logger = new QueryLog();
    await startTimed({}, { logger });
    await app.spark.emit(Array.from({ length: 200 }, (_, i) => mail(i, `person ${i % 40}`)));
    const before = logger.statements.length;
    await kit.drain();
    await kit.advance('1h');
    expect(calls).toHaveLength(40);
    expect(new Set(calls.flatMap(({ keys }) => keys)).size).toBe(200);
    expect(logger.statements.length - before).toBeLessThan(150);
  });

  it('are in several claims where they have many events', async () => {
    await startTimed({ batch: { max: 600 } });
    await app.spark.emit(Array.from({ length: 1_500 }, (_, i) => mail(i, `person ${i % 3}`)));
    await kit.drain();
    await kit.advance('1h');
    expect(calls.map(({ keys }) => keys.length)).toEqual([500, 500, 500]);
    for (const { keys } of calls) expect(new Set(keys.map((key) => Number(key.slice(5)) % 3)).size).toBe(1);
  });

  it('of a key are not called if another process has claimed some of it meanwhile', async () => {
    await startTimed();
    await emit(mail(1), mail(2));
    const [, last] = await app.dataSource.query('SELECT id FROM spark_delivery ORDER BY id');
    const set = (state: string, claimedBy: string) =>
      `UPDATE spark_delivery SET state = '${state}', claimed_by = ${claimedBy} WHERE id = ${last.id}`;
    const { digests: claims } = parts().deliveries;
    const free = claims.free.bind(claims);
    vi.spyOn(claims, 'free').mockImplementationOnce(async (manager, wanted) => {
      const keys = await free(manager, wanted);
      await manager.query(set('running', `'another'`));
      return keys;
    });
    await kit.advance('1h');
    expect(calls).toEqual([]);
    await app.dataSource.query(set('available', 'NULL'));
    await kit.advance('1m');
    expect(calls.map(({ keys }) => keys)).toEqual([['mail_1', 'mail_2']]);
  });

  it('are left to the process that has taken them over', async () => {
    await startTimed();
    const { gathered: waiting } = parts();
    const add = waiting.add.bind(waiting);
    const set = (attempt: number, state: string, claimedBy: string) =>
      `UPDATE spark_delivery SET state = '${state}', claimed_by = ${claimedBy}, attempt = ${attempt} WHERE id = `;
    let taken = '';
    vi.spyOn(waiting, 'add').mockImplementationOnce(async (manager, added) => {
      taken = added[0]!.delivery.id;
      await manager.query(set(2, 'running', `'another'`) + taken);
      return add(manager, added);
    });
    await emit(mail(1), mail(2));
    expect(await gathered()).toBe(1);
    expect((await states()).sort()).toEqual(['available 0', 'running 2']);
    await app.dataSource.query(set(0, 'available', 'NULL') + taken);
    await kit.drain();
    await kit.advance('1h');
    expect(calls.map(({ keys }) => keys)).toEqual([['mail_1', 'mail_2']]);
  });

  it('get entities in contexts as they are at the end of the window', async () => {
    await startTimed();
    await app.dataSource.manager.save(Gift, { id: 1, to: 'ann' });
    await kit.drain();
    expect(await gathered()).toBe(1);
    await app.dataSource.manager.save(Gift, { id: 1, to: 'bob' });
    let seen: string[] = [];
    work = (events) => (seen = events.map(recipient));
    await kit.advance('1h');
    // The key is that of the begin of the window.
    expect(calls).toMatchObject([{ key: 'ann', keys: ['gift_1'] }]);
    expect(seen).toEqual(['bob']);
  });

  it('fail together, and are called again together with what has come meanwhile', async () => {
    await startTimed();
    work = () => Promise.reject(new Error('on purpose'));
    await emit(mail(1), mail(2));
    await kit.advance('1h');
    expect(await states()).toEqual(['available 1', 'available 1']);
    await emit(mail(3));
    work = () => undefined;
    await kit.advance('1m');
    expect(calls.at(-1)).toEqual({ key: 'ann', keys: expect.arrayContaining(['mail_1', 'mail_2', 'mail_3']), at: 61 });
    expect(await states()).toEqual(['completed 2', 'completed 2', 'completed 1']);
  });

  it('an event without a key has failed, and delays no other', async () => {
    const by = (event: SparkEvent<Context>) => {
      if (recipient(event) === 'nobody') throw new Error('no recipient');
      return recipient(event);
    };
    await startTimed({ batch: { by }, maxAttempts: 2 });
    await emit(mail(1, 'nobody'), mail(2, ''), mail(3, 'ann'));
    expect((await kit.deliveries('digests')).map(({ state, error }) => [state, error?.split('\n')[0] ?? null])).toEqual(
      [
        ['available', 'Error: no recipient'],
        ['available', expect.stringContaining('batch.by of @GroupHandler')],
        ['available', null],
      ],
    );
    await kit.advance('1h');
    expect(calls.map(({ keys }) => keys)).toEqual([['mail_3']]);
    expect(await states()).toEqual(['discarded 2', 'discarded 2', 'completed 1']);
  });

  it('wait while it is quiet', async () => {
    await startTimed({ batch: { quiet: { from: '14:00', to: '16:00' } } });
    await emit(mail(1, 'ann'));
    await kit.advance('75m');
    await emit(mail(2, 'bob'));
    // bob would be called at 14:15.
    expect((await kit.deliveries('digests'))[1]!.dueAt.toISOString()).toBe('2026-06-01T16:00:00.000Z');
    await kit.advance('5h');
    expect(calls.map(({ key, at }) => [key, at])).toEqual([
      ['ann', 60],
      ['bob', 240],
    ]);
  });

  it('are given back in quiet hours, uncharged, until these end', async () => {
    let hours: { from: string; to: string } | undefined;
    await startTimed({ batch: { quiet: () => hours } });
    await emit(mail(1));
    hours = { from: '12:30', to: '13:10' };
    await kit.advance('1h');
    expect(calls).toEqual([]);
    expect(await states()).toEqual(['available 0']);
    await kit.advance('1h');
    expect(calls).toEqual([{ key: 'ann', keys: ['mail_1'], at: 70 }]);
    expect(await states()).toEqual(['completed 1']);
  });

  it('are called at most once in the time of the throttle for each key, unless they fail', async () => {
    await startTimed({ batch: { wait: '1m', throttle: '1d' } });
    work = () => Promise.reject(new Error('on purpose'));
    await emit(mail(1, 'ann'), mail(2, 'bob'));
    await kit.advance('1m');
    work = () => undefined;
    await kit.advance('1m');
    expect(calls.map(({ key, at }) => [key, at]).sort()).toEqual([
      ['ann', 1],
      ['ann', 2],
      ['bob', 1],
      ['bob', 2],
    ]);
    calls = [];
    await emit(mail(3, 'ann'), mail(4, 'cid'));
    await kit.advance('10m');
    expect(calls.map(({ key }) => key)).toEqual(['cid']);
    await emit(mail(5, 'ann'));
    await kit.advance('2d');
    expect(calls.slice(1)).toEqual([{ key: 'ann', keys: ['mail_3', 'mail_5'], at: 2 + 1_440 }]);
  });

  it('are explained, and can be called at once, discarded and replayed', async () => {
    await startTimed();
    await app.dataSource.manager.save(Gift, { id: 1, to: 'ann' });
    await kit.drain();
    const { words, events } = await app.spark.explain(Gift, 1);
    expect(events[0]!.deliveries).toMatchObject([{ handler: 'digests', digest: 'ann' }]);
    const end = new Date(clock.now() + 3_600_000).toISOString();
    expect(words.at(-1)).toBe(
      `gift_1 → digests: waits for others of the digest ann, which is called at ${end} at the latest.`,
    );
    await app.spark.retry({ handler: 'digests' });
    await kit.drain();
    expect(calls).toMatchObject([{ key: 'ann', keys: ['gift_1'], at: 0 }]);
    await emit(mail(2));
    await app.spark.discard({ handler: 'digests' });
    await kit.advance('1h');
    expect(calls).toHaveLength(1);
    await maintain();
    await app.spark.replay({ handler: 'digests', repeat: true });
    await kit.advance('1h');
    expect(calls).toHaveLength(2);
    expect(calls[1]!.keys.toSorted()).toEqual(['gift_1', 'mail_2']);
  });

  it('leave no key behind of deliveries that are gone', async () => {
    await startTimed();
    await app.dataSource.manager.save(Gift, { id: 1, to: 'ann' });
    await emit(mail(2));
    await app.spark.discard({ handler: 'digests', group: 'mail' });
    await app.spark.forget(Gift, 1);
    expect(await gathered()).toBe(2);
    await maintain();
    expect(await gathered()).toBe(0);
  });

  it('do not begin while their handler is paused', async () => {
    await startTimed();
    await emit(mail(1));
    await app.spark.pauseHandler('digests');
    await kit.advance('2h');
    expect(calls).toEqual([]);
    await app.spark.resumeHandler('digests');
    await kit.drain();
    expect(calls).toHaveLength(1);
  });

  it('run in a transaction', async () => {
    await startTimed({ transactional: true, batch: { wait: '1m', throttle: '1h' } });
    await emit(mail(1), mail(2));
    work = () => Promise.reject(new Error('on purpose'));
    await kit.advance('1m');
    expect(await states()).toEqual(['available 1', 'available 1']);
    expect(await gathered()).toBe(2);
    work = () => undefined;
    await kit.advance('1m');
    expect(await states()).toEqual(['completed 2', 'completed 2']);
    expect(await gathered()).toBe(0);
    expect(await app.dataSource.query('SELECT batch_key FROM spark_throttle')).toEqual([{ batch_key: 'ann' }]);
  });
});

describe.each(databases)('digests over several processes, on $name', (database) => {
  let db: TestDatabase;
  let apps: TestApp[];

  beforeEach(async () => {
    db = await database.create();
    [calls, apps] = [[], []];
    clock = new TestClock(start);
    work = () => undefined;
  });
  afterEach(async () => {
    for (const app of apps) await app.close();
    await db.drop();
  });
  const startReal = async (options: Options, spark: SparkModuleOptions = { worker: { pollInterval: '50ms' } }) => {
    const app = await startApp({ database: db, entities: [Gift], providers: [digests(options)], spark });
    apps.push(app);
    return app;
  };

  it('are one call for a window, and one at a time for a key', async () => {
    // All is emitted within the window, also on a machine that is busy.
    const options = { batch: { wait: '6s', max: 1_000 } };
    const [one, two] = [await startReal(options), await startReal(options), await startReal(options)];
    const busy = new Map<string, number>();
    let most = 0;
    work = async ([first]) => {
      const key = recipient(first!);
      busy.set(key, (busy.get(key) ?? 0) + 1);
      most = Math.max(most, busy.get(key)!);
      await delay(300);
      busy.set(key, busy.get(key)! - 1);
    };
    const people = Array.from({ length: 8 }, (_, i) => `person ${i}`);
    for (let i = 0; i < 10; i++) {
      const emitter = i % 2 === 0 ? one : two;
      await emitter.spark.emit(people.map((to, p) => mail(i * 100 + p, to)));
      await delay(20);
    }
    await vi.waitFor(() => expect(calls.flatMap(({ keys }) => keys)).toHaveLength(80), 30_000);
    expect(new Set(calls.flatMap(({ keys }) => keys)).size).toBe(80);
    expect(calls.map(({ key }) => key).sort()).toEqual(people);
    expect(most).toBe(1);
  });

  it('of a key are not called while one of the key is running', async () => {
    const app = await startReal({ batch: { wait: '50ms' } });
    let [running, most] = [0, 0];
    work = async () => {
      most = Math.max(most, ++running);
      await delay(600);
      running--;
    };
    await app.spark.emit(mail(1));
    await vi.waitFor(() => expect(running).toBe(1), 15_000);
    await app.spark.emit([mail(2), mail(3, 'bob')]);
    await vi.waitFor(() => expect(calls).toHaveLength(3), 15_000);
    expect(calls.map(({ keys }) => keys[0])).toEqual(['mail_1', 'mail_3', 'mail_2']);
    // That of bob ran beside.
    expect(most).toBe(2);
  });

  it.skipIf(database.name === 'SQLite')('leave a key to the process that is claiming it', async () => {
    // The lock is there before they are due, and when they are.
    const app = await startReal({ batch: { wait: '4s' } });
    await app.spark.emit([mail(1), mail(2), mail(3)]);
    await vi.waitFor(async () => {
      const rows = await app.dataSource.query('SELECT delivery_id FROM spark_gathered');
      expect(rows).toHaveLength(3);
    }, 15_000);
    await app.dataSource.transaction(async (manager) => {
      const head = 'SELECT id FROM spark_delivery ORDER BY id LIMIT 1 FOR UPDATE';
      expect(await manager.query(head)).toHaveLength(1);
      await delay(5_000);
      expect(calls).toEqual([]);
    });
    await vi.waitFor(() => expect(calls).toHaveLength(1), 15_000);
    expect(calls[0]!.keys).toEqual(['mail_1', 'mail_2', 'mail_3']);
  });
});
