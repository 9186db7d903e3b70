import { type SparkEvent, sparkEvent } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { type Program, program, type Running } from './support/processes.js';

interface Row {
  event_key: string;
  state: string;
  attempt: number;
  last_error: string | null;
}

describe('deliveries survive their process', () => {
  let delivering: Program;

  beforeAll(async () => {
    delivering = await program('delivering.program.ts');
  }, 60_000);
  afterAll(() => delivering.remove());

  describe.each(databases)('on $name', (database) => {
    let db: TestDatabase;
    let app: TestApp;
    let actors: Running[] = [];

    beforeEach(async () => {
      db = await database.create();
      app = await startApp({ database: db, entities: [], spark: { worker: false } });
      await app.dataSource.query('CREATE TABLE calls (name VARCHAR(100), pid INT, attempt INT)');
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

    const start = async () => {
      const { driver, ...options } = db.options as { driver?: unknown };
      const actor = delivering.start({ options, driver: driver !== undefined });
      actor.result.catch(() => undefined);
      actors.push(actor);
      await said(actor, 'ready');
      return actor;
    };
    const said = (actor: Running, what: string) =>
      new Promise<void>((resolve) => actor.process.on('message', (message: any) => message[what] && resolve()));
    const deliveries = (): Promise<Row[]> =>
      app.dataSource.query(
        `SELECT e.event_key, d.state, d.attempt, d.last_error FROM spark_delivery d
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
    const calls = async (name: string) =>
      (await app.dataSource.query(`SELECT attempt FROM calls WHERE name = '${name}'`)).map((row: any) =>
        Number(row.attempt),
      );
    /** The events reach the ledger once a process has registered the handler. */
    const emit = (...events: SparkEvent[]) => app.spark.emit(events);

    it('what a killed process was handling, another one handles within the lease and a little', async () => {
      const first = await start();
      await emit(...[1, 2, 3].map((i) => sparkEvent('slow', i)));
      await said(first, 'called');
      first.process.kill('SIGKILL');
      await start();
      const rows = await settled(10);
      expect(rows.map(({ state }) => state)).toEqual(['completed', 'completed', 'completed']);
      // Who was interrupted was not charged for it, only for the attempt that followed.
      expect(rows.every(({ attempt }) => Number(attempt) === 1)).toBe(true);
    }, 30_000);

    it('the one that kills its process ends discarded, and those that were claimed beside it go free', async () => {
      const first = await start();
      await emit(sparkEvent('slow', 1), sparkEvent('poison', 1), sparkEvent('slow', 2), sparkEvent('slow', 3));
      let actor = first;
      for (let deaths = 0; deaths < 10; deaths++) {
        const died = await Promise.race([
          actor.result.then(
            () => true,
            () => true,
          ),
          settled(8).then(() => false),
        ]);
        if (!died) break;
        actor = await start();
      }
      const rows = await settled(10);
      const states = Object.fromEntries(rows.map(({ event_key: key, state }) => [key, state]));
      expect(states).toEqual({ slow_1: 'completed', slow_2: 'completed', slow_3: 'completed', poison_1: 'discarded' });
      expect(rows.find(({ event_key: key }) => key === 'poison_1')!.last_error).toContain(
        'its process died, or was too slow to renew its lease, at each of 3 attempts',
      );
    }, 90_000);

    it('a process that was stalled past its lease changes nothing when it resumes', async () => {
      const first = await start();
      await emit(sparkEvent('stuck', 1));
      await said(first, 'called');
      first.process.kill('SIGSTOP');
      const second = await start();
      await said(second, 'called');
      const [row] = await settled(10);
      expect(row).toMatchObject({ state: 'completed' });
      first.process.kill('SIGCONT');
      await delay(1_500);
      const [later] = await deliveries();
      expect(later).toEqual(row);
      expect(await calls('stuck_1')).toEqual([1, 1]);
      // It goes on under a lease of its own.
      const workers = await app.dataSource.query('SELECT pid FROM spark_worker');
      expect(workers.map((worker: any) => Number(worker.pid)).sort()).toEqual(
        [first, second].map(({ process }) => process.pid).sort(),
      );
    }, 30_000);
  });
});
