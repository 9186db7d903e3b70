import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import { GroupHandler, sparkEvent, type SparkModuleOptions } from 'nestjs-spark';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { type Program, program } from './support/processes.js';
import { Row } from './support/row.entity.js';
import { RowSource, rowSource } from './support/row-source.js';

const PAGE = 500;
const ROWS = 3 * PAGE + 200;
const LEASE = { leaseTtl: '900ms', pollInterval: '1h' };

/** What the sweeps of all applications of this process do. */
const seen = { pages: [] as number[], running: 0, most: 0, pause: 0, onPage: async () => {} };

rowSource.run = async (rows) => {
  seen.most = Math.max(seen.most, ++seen.running);
  seen.pages.push(rows[0]!.id);
  await seen.onPage();
  await delay(seen.pause);
  seen.running--;
  return rows.map(({ id }) => sparkEvent('row', id));
};

@Injectable()
class Handler {
  @GroupHandler(/^row$/, { name: 'handler' })
  handle() {}
}

describe('a sweep goes on where it was killed', () => {
  let sweeping: Program;

  beforeAll(async () => {
    sweeping = await program('sweeping.program.ts');
  }, 60_000);
  afterAll(() => sweeping.remove());

  describe.each(databases)('on $name', (database) => {
    let db: TestDatabase;
    let apps: TestApp[];

    beforeEach(async () => {
      db = await database.create();
      apps = [];
      Object.assign(seen, { pages: [], running: 0, most: 0, pause: 0, onPage: async () => {} });
    });
    afterEach(async () => {
      await Promise.all(apps.map((app) => app.close()));
      await db.drop();
    });

    const start = async (spark: SparkModuleOptions = {}) => {
      const options = { entities: [Row], providers: [RowSource, Handler], imports: [ScheduleModule.forRoot()] };
      const app = await startApp({ database: db, ...options, spark: { worker: LEASE, ...spark } });
      apps.push(app);
      return app;
    };
    const insert = async ({ dataSource }: TestApp, count: number) => {
      const rows = Array.from({ length: count }, (_, i) => `(${i + 1}, 'new')`).join(', ');
      await dataSource.query(`INSERT INTO ${dataSource.driver.escape('row')} VALUES ${rows}`);
    };
    const events = async (group: string): Promise<number[]> => {
      const rows: { event_key: string }[] = await apps[0]!.dataSource.query(
        `SELECT event_key FROM spark_event WHERE event_group = '${group}'`,
      );
      return rows.map(({ event_key: key }) => Number(key.slice(group.length + 1))).sort((a, b) => a - b);
    };
    const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
    /** Another process, in the third page of its sweep, with two behind it. */
    const stuck = async () => {
      const { driver, ...options } = db.options as { driver?: unknown };
      const input = { options, driver: driver !== undefined, spark: { worker: LEASE } };
      const other = sweeping.start(input);
      other.result.catch(() => undefined);
      await once(other.process, 'message');
      await until(async () => (await events('old')).length === 2 * PAGE);
      return other;
    };
    /** Stops a process where it does not keep all others from writing, as one that is stopped in a transaction does on SQLite. */
    const stop = async ({ dataSource }: TestApp, process: ChildProcess) => {
      for (;;) {
        process.kill('SIGSTOP');
        const written = dataSource.query('UPDATE spark_handler SET priority = priority').then(() => true);
        if (await Promise.race([written, delay(1_000, false)])) return;
        process.kill('SIGCONT');
        await written;
      }
    };
    const until = async (condition: () => unknown) => {
      for (const end = Date.now() + 20_000; !(await condition()) && Date.now() < end;) await delay(10);
      expect(await condition()).toBeTruthy();
    };

    it('by a scheduled sweep: at most a page is read again, and what was held is delivered at its end', async () => {
      await insert(await start({ activation: { limit: ROWS } }), ROWS);
      const other = await stuck();
      other.process.kill('SIGKILL');
      const states = async () =>
        (await apps[0]!.dataSource.query('SELECT DISTINCT state FROM spark_delivery')).map(({ state }: any) => state);
      expect(await states()).toEqual(['held']);

      const app = await start({ sweep: { interval: 50 }, activation: { limit: ROWS } });
      let swept: number[] | undefined;
      app.spark.sweeps$.subscribe(({ done }) => (swept ??= done ? [...seen.pages] : undefined));
      await until(() => swept);
      expect(swept).toEqual([2 * PAGE + 1, 3 * PAGE + 1]);
      expect(await events('row')).toEqual(upTo(ROWS));
      await until(async () => {
        await app.spark.drain();
        return String(await states()) === 'completed';
      });
    });

    it('by a call: there, and then from the start, so that everything present was read once', async () => {
      const app = await start();
      await insert(app, ROWS);
      const other = await stuck();
      const report = app.spark.sweep();
      await delay(100);
      expect(seen.pages).toEqual([]);
      expect((await app.spark.status()).sources[0]!.sweeping).toMatchObject({ ranges: 1, running: true });
      other.process.kill('SIGKILL');
      expect(await report).toMatchObject({ subjects: 700 + ROWS, entered: 700, elsewhere: 0, failed: 0 });
      expect(seen.pages).toEqual([2 * PAGE + 1, 3 * PAGE + 1, 1, PAGE + 1, 2 * PAGE + 1, 3 * PAGE + 1]);
      expect(await events('row')).toEqual(upTo(ROWS));
      expect((await app.spark.status()).sources[0]).toMatchObject({
        sweeping: undefined,
        foundBySweep: 2 * 2 * PAGE + 700,
      });
    });

    it('at once, where the application was shut down', async () => {
      const first = await start({ worker: { pollInterval: '1h' } });
      await insert(first, ROWS);
      let closed: Promise<void> | undefined;
      seen.onPage = async () => {
        if (seen.pages.length !== 3) return;
        await until(async () => (await events('row')).length === 2 * PAGE);
        closed = first.close();
        await delay(50);
      };
      await first.spark.sweep();
      await closed;
      apps = [];
      const app = await start();
      expect((await app.spark.status()).sources[0]!.sweeping).toMatchObject({
        ranges: 0,
        running: false,
      });
      Object.assign(seen, { pages: [], onPage: async () => {} });
      expect(await app.spark.sweep()).toMatchObject({ subjects: 700 + ROWS, elsewhere: 0, failed: 0 });
      expect(seen.pages.slice(0, 3)).toEqual([2 * PAGE + 1, 3 * PAGE + 1, 1]);
    });

    it('but not one that failed half-way: the next one begins at the start', async () => {
      const app = await start();
      await insert(app, ROWS);
      const { driver } = app.dataSource;
      const rename = (from: string, to: string) =>
        app.dataSource.query(`ALTER TABLE ${driver.escape(from)} RENAME TO ${driver.escape(to)}`);
      // Pages are prefetched; the last one is not read yet.
      seen.onPage = async () => void (seen.pages.length === 2 && (await rename('row', 'away')));
      expect(await app.spark.sweep()).toMatchObject({ failed: 1 });
      expect(await app.dataSource.query('SELECT id FROM spark_sweep_range')).toEqual([]);
      expect((await events('row')).length).toBeGreaterThan(0);
      await rename('away', 'row');
      Object.assign(seen, { pages: [], onPage: async () => {} });
      expect(await app.spark.sweep()).toMatchObject({ subjects: ROWS, failed: 0 });
      expect(seen.pages).toEqual([1, PAGE + 1, 2 * PAGE + 1, 3 * PAGE + 1]);
      expect(await events('row')).toEqual(upTo(ROWS));
    });

    it('and one that only stalled enters nothing more when it resumes', async () => {
      const app = await start();
      await insert(app, ROWS);
      const other = await stuck();
      await stop(app, other.process);
      await app.spark.sweep();
      expect(await events('row')).toEqual(upTo(ROWS));
      other.process.kill('SIGCONT');
      other.process.send('go on');
      const { report: stalled, logs } = await other.result;
      expect(stalled).toMatchObject({ subjects: 2 * PAGE, elsewhere: 0, failed: 0 });
      expect(logs.join('\n')).toContain('rows was taken over by another process');
      expect(await events('old')).toEqual(upTo(2 * PAGE));
    });

    it('calls of several processes at once share a sweep that has begun after them, from the very first one', async () => {
      const all = [await start(), await start(), await start()];
      await insert(all[0]!, PAGE + 1);
      seen.pause = 5;
      for (let round = 0; round < 10; round++) {
        if (round < 5) await all[0]!.dataSource.query('DELETE FROM spark_sweep');
        seen.pages = [];
        const reports = await Promise.all(all.map(({ spark }) => spark.sweep()));
        expect(reports).toMatchObject(all.map(() => ({ elsewhere: 0, failed: 0 })));
        // The first call has begun one, and those that came during it another one. The table is one range.
        expect(seen.pages.length).toBeLessThanOrEqual(2 * 3);
      }
      expect(seen.most).toBe(1);
      expect(await events('row')).toEqual(upTo(PAGE + 1));
    });

    it('a page may take longer than the lease', async () => {
      const worker = { ...LEASE, leaseTtl: '1500ms' };
      const [slow, other] = [await start({ worker }), await start({ worker })];
      await insert(slow, 1);
      seen.pause = 2_500;
      const run = slow.spark.sweep();
      await until(() => seen.pages.length > 0);
      const helped = other.spark.sweep();
      expect(await run).toMatchObject({ subjects: 1, entered: 1, elsewhere: 0 });
      // The other call sweeps afterwards, as it came after the first one had begun.
      expect(await helped).toMatchObject({ subjects: 1, entered: 0 });
      expect(seen.most).toBe(1);
    });

    it('each slot of a schedule is swept once, however many applications come to it, and when', async () => {
      const soon = new Date(Date.now() + 30 * 60_000);
      const sweep = { cron: `${soon.getUTCMinutes()} ${soon.getUTCHours()} * * *`, timeZone: 'UTC' };
      const all = [await start({ sweep }), await start({ sweep }), await start({ sweep })];
      await insert(all[0]!, 1);
      const tick = async ({ app }: TestApp) => {
        await app.get(SchedulerRegistry).getCronJob('spark-sweep').fireOnTick();
        await delay(30);
      };
      for (const app of [...all, ...all]) await tick(app);
      await until(() => seen.pages.length > 0);
      for (const app of all) await tick(app);
      expect(seen.pages).toEqual([1]);
      // By hand it is always swept, as soon as the scheduled sweep has ended.
      expect(await all[1]!.spark.sweep()).toMatchObject({ subjects: 1 });
      // The next slot is another one.
      await all[0]!.dataSource.query('UPDATE spark_sweep SET slot = slot - 86400000');
      for (const app of all) await tick(app);
      await until(() => seen.pages.length > 2);
      for (const app of all) await tick(app);
      expect(seen.pages).toEqual([1, 1, 1]);
    });

    it('so is each slot of an interval', async () => {
      const interval = 400;
      await insert(await start(), 1);
      const begun = Math.floor(Date.now() / interval);
      for (let i = 0; i < 3; i++) {
        await start({ sweep: { interval } });
        await delay(70);
      }
      await until(() => seen.pages.length >= 4);
      expect(seen.pages.length).toBeLessThanOrEqual(Math.floor(Date.now() / interval) - begun + 1);
    });

    it('a slot that a wrong clock has taken far ahead keeps nobody from sweeping', async () => {
      const app = await start({ sweep: { interval: 50 } });
      await insert(app, 1);
      await until(() => seen.pages.length > 0);
      await app.dataSource.query('UPDATE spark_sweep SET slot = 99999999999999');
      const { length } = seen.pages;
      await until(() => seen.pages.length > length + 1);
    });
  });
});
