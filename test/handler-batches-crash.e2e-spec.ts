import { type SparkEvent, sparkEvent } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { type Program, program, type Running } from './support/processes.js';
import { rounds } from './support/rounds.js';

interface Row {
  event_key: string;
  handler: string;
  state: string;
  attempt: number;
}

/** An event of a call. */
interface Called {
  handler: string;
  name: string;
  call_id: string;
}

describe('calls with many events survive their process', () => {
  let batching: Program;

  beforeAll(async () => {
    batching = await program('batching.program.ts');
  }, 60_000);
  afterAll(() => batching.remove());

  describe.each(databases)('on $name', (database) => {
    let db: TestDatabase;
    let app: TestApp;
    let actors: Running[] = [];

    beforeEach(async () => {
      db = await database.create();
      app = await startApp({ database: db, entities: [], spark: { worker: false } });
      await app.dataSource.query(
        'CREATE TABLE calls (handler VARCHAR(100), name VARCHAR(100), call_id VARCHAR(36), pid INT)',
      );
    });
    afterEach(async () => {
      for (const { process, result } of actors) {
        result.catch(() => undefined);
        process.kill('SIGKILL');
      }
      actors = [];
      await app.close();
      await db.drop();
    });

    const start = async (chaos = false) => {
      const { driver, ...options } = db.options as { driver?: unknown };
      const actor = batching.start({ options, driver: driver !== undefined, chaos });
      actor.result.catch(() => undefined);
      actors.push(actor);
      await Promise.race([said(actor, 'ready'), died(actor)]);
      return actor;
    };
    const said = (actor: Running, what: string) =>
      new Promise<void>((resolve) => actor.process.on('message', (message: any) => message[what] && resolve()));
    const died = ({ result }: Running) =>
      result.then(
        () => undefined,
        () => undefined,
      );
    const deliveries = (): Promise<Row[]> =>
      app.dataSource.query(
        `SELECT e.event_key, d.handler, d.state, d.attempt FROM spark_delivery d
         JOIN spark_event e ON e.id = d.event_id ORDER BY e.id`,
      );
    const settled = async (seconds: number) => {
      for (let i = 0; i < seconds * 20; i++) {
        const rows = await deliveries();
        if (rows.every(({ state }) => state === 'completed' || state === 'discarded')) return rows;
        await delay(50);
      }
      return deliveries();
    };
    /** The keys of each call. */
    const calls = async (handler: string): Promise<string[][]> => {
      const rows: Called[] = await app.dataSource.query(
        `SELECT handler, name, call_id FROM calls WHERE handler = '${handler}'`,
      );
      const byCall = new Map<string, string[]>();
      for (const { call_id: id, name } of rows) byCall.set(id, [...(byCall.get(id) ?? []), name]);
      return [...byCall.values()].map((names) => names.sort());
    };
    const emit = (...events: SparkEvent[]) => app.spark.emit(events);

    it('events of a call that was interrupted are called again one by one, and the one that kills is found', async () => {
      const first = await start();
      await emit(...[1, 2, 3].map((i) => sparkEvent('good', i)), sparkEvent('poison', 1));
      await died(first);
      expect(await calls('plain')).toEqual([['good_1', 'good_2', 'good_3', 'poison_1']]);
      for (let deaths = 0; deaths < 10; deaths++) {
        const actor = await start();
        const isDead = await Promise.race([died(actor).then(() => true), settled(8).then(() => false)]);
        if (!isDead) break;
      }
      const rows = await settled(10);
      expect(Object.fromEntries(rows.map(({ event_key: key, state }) => [key, state]))).toEqual({
        good_1: 'completed',
        good_2: 'completed',
        good_3: 'completed',
        poison_1: 'discarded',
      });
      expect((await calls('plain')).slice(1).every((keys) => keys.length === 1)).toBe(true);
      // Those beside it were not charged for the interrupted call.
      expect(rows.filter(({ state }) => state === 'completed').map(({ attempt }) => Number(attempt))).toEqual([
        1, 1, 1,
      ]);
    }, 90_000);

    it('a window goes on when the process that opened it dies, and its events are in one call', async () => {
      const first = await start();
      await emit(sparkEvent('mail', 1, { to: 'ann' }), sparkEvent('mail', 2, { to: 'ann' }));
      const gathered = async () =>
        Number((await app.dataSource.query('SELECT COUNT(*) AS n FROM spark_gathered'))[0].n);
      for (let i = 0; i < 100 && (await gathered()) < 2; i++) await delay(5);
      first.process.kill('SIGKILL');
      await died(first);
      expect(await calls('digests')).toEqual([]);
      const second = start();
      await emit(sparkEvent('mail', 3, { to: 'ann' }));
      await second;
      const rows = await settled(15);
      expect(rows.map(({ state }) => state)).toEqual(Array(3).fill('completed'));
      const made = await calls('digests');
      expect(made.flat().sort()).toEqual(['mail_1', 'mail_2', 'mail_3']);
      // The third one may have come when the window was over.
      expect(made.filter((keys) => keys.includes('mail_1'))).toEqual([expect.arrayContaining(['mail_1', 'mail_2'])]);
    }, 60_000);

    it('whatever fails or dies, each event is in exactly one call that commits, and no call has too many', async () => {
      const count = rounds(60, 600);
      const isOver = async () => {
        const rows = await deliveries();
        return rows.length === 2 * count && rows.every(({ state }) => state === 'completed');
      };
      const events = Array.from({ length: count }, (_, i) => [
        sparkEvent('item', i),
        sparkEvent('mail', i, { to: `person ${i % 6}` }),
      ]);
      const run = { isOver: false };
      /** Starts another process whenever one has died. */
      const keep = async (actor: Running) => {
        await died(actor);
        while (!run.isOver) await died(await start(true));
      };
      const kept = [keep(await start(true)), keep(await start(true))];
      for (const pair of events) {
        await emit(...pair);
        await delay(Math.random() * 20);
      }
      const end = performance.now() + 120_000;
      while (!(await isOver()) && performance.now() < end) await delay(100);
      run.isOver = true;
      for (const { process } of actors) process.kill('SIGKILL');
      await Promise.all(kept);
      expect(await isOver()).toBe(true);
      for (const [handler, group, max] of [
        ['items', 'item', 7],
        ['digests', 'mail', 5],
      ] as const) {
        const made = await calls(handler);
        expect(made.flat().sort()).toEqual(events.map((_, i) => `${group}_${i}`).sort());
        for (const keys of made) expect(keys.length).toBeLessThanOrEqual(max);
      }
      // A digest has events of one person.
      for (const keys of await calls('digests'))
        expect(new Set(keys.map((key) => Number(key.split('_')[1]) % 6)).size).toBe(1);
    }, 200_000);
  });
});
