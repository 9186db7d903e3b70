import { setTimeout as delay } from 'node:timers/promises';
import {
  InvalidOptionsError,
  NoSourceError,
  sparkEvent,
  type SparkModuleOptions,
  type SweepCallOptions,
  UnknownSourceError,
} from 'nestjs-spark';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { type Program, program } from './support/processes.js';
import { Row } from './support/row.entity.js';
import { RowSource, rowSource } from './support/row-source.js';

const RANGE = 5_000;
const ROWS = 4 * RANGE + 300;
const LEASE = { leaseTtl: '900ms', pollInterval: '1h' };

/** What the sweeps of this process do. */
const seen = { read: [] as number[], onPage: async () => {} };

describe('several processes sweep one table', () => {
  let sharing: Program;

  beforeAll(async () => {
    sharing = await program('sharing.program.ts');
  }, 60_000);
  afterAll(() => sharing.remove());

  describe.each(databases)('on $name', (database) => {
    let db: TestDatabase;
    let apps: TestApp[];

    beforeEach(async () => {
      db = await database.create();
      apps = [];
      Object.assign(seen, { read: [], onPage: async () => {} });
      rowSource.run = async (rows) => {
        seen.read.push(...rows.map(({ id }) => id));
        await seen.onPage();
        return rows.map(({ id }) => sparkEvent('row', id));
      };
    });
    afterEach(async () => {
      await Promise.all(apps.map((app) => app.close()));
      await db.drop();
    });

    const start = async (spark: SparkModuleOptions = {}) => {
      const options = { entities: [Row], providers: [RowSource] };
      const app = await startApp({ database: db, ...options, spark: { worker: LEASE, ...spark } });
      apps.push(app);
      return app;
    };
    const insert = async ({ dataSource }: TestApp, count: number) => {
      for (let first = 1; first <= count; first += 1_000) {
        const rows = Array.from({ length: Math.min(1_000, count - first + 1) }, (_, i) => `(${first + i}, 'new')`);
        await dataSource.query(`INSERT INTO ${dataSource.driver.escape('row')} VALUES ${rows.join(', ')}`);
      }
    };
    const other = (input: object = {}) => {
      const { driver, ...options } = db.options as { driver?: unknown };
      const given = { options, driver: driver !== undefined, spark: { worker: LEASE }, pause: 5, ...input };
      return sharing.start(given);
    };
    const events = async ({ dataSource }: TestApp): Promise<number> => {
      const [{ n }] = await dataSource.query('SELECT COUNT(*) AS n FROM spark_event');
      return Number(n);
    };
    const until = async (condition: () => unknown) => {
      for (const end = Date.now() + 20_000; !(await condition()) && Date.now() < end;) await delay(5);
      expect(await condition()).toBeTruthy();
    };
    const ascending = (ids: number[]) => ids.toSorted((a, b) => a - b);
    const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

    it('side by side: each range is swept by one of them, and every row is read after each call', async () => {
      const app = await start();
      await insert(app, ROWS);
      const [one, two] = await Promise.all([other().result, other().result]);
      const read = [...one.read, ...two.read];
      // The call that came first has begun a sweep, and the other one helps it; then it begins one of its own, which it may do alone.
      expect(ascending([...new Set(read)])).toEqual(upTo(ROWS));
      expect(read.length).toBeLessThanOrEqual(2 * ROWS);
      expect([...one.reports, ...two.reports]).toMatchObject([
        { elsewhere: 0, failed: 0 },
        { elsewhere: 0, failed: 0 },
      ]);
      expect(await events(app)).toBe(ROWS);
    });

    it('a call reads what was there when it was made, though another sweep has passed it', async () => {
      const app = await start();
      await insert(app, ROWS);
      const running = other({ pause: 20 });
      await until(async () => (await events(app)) > RANGE + 500);
      await app.dataSource.query(`DELETE FROM spark_event WHERE event_key = 'row_1'`);
      const report = await app.spark.sweep();
      expect(report).toMatchObject({ elsewhere: 0, failed: 0 });
      expect(await events(app)).toBe(ROWS);
      const { read } = await running.result;
      expect(read.length + report.subjects).toBe(2 * ROWS);
    });

    it('one that is killed leaves its range to the others', async () => {
      const app = await start();
      await insert(app, ROWS);
      const killed = other({ pause: 20 });
      killed.result.catch(() => undefined);
      await until(async () => (await events(app)) >= 2 * 500);
      let isKilled = false;
      seen.onPage = async () => {
        if (!isKilled) killed.process.kill('SIGKILL');
        isKilled = true;
      };
      const report = await app.spark.sweep();
      expect(report).toMatchObject({ elsewhere: 0, failed: 0 });
      expect(await events(app)).toBe(ROWS);
      expect(await app.dataSource.query('SELECT id FROM spark_sweep_range')).toEqual([]);
    });

    it('a process with another version of the source waits for none, and takes over when the others are gone', async () => {
      const app = await start();
      await insert(app, RANGE + 300);
      const running = other({ pause: 300, spark: { worker: LEASE, version: 'before' } });
      running.result.catch(() => undefined);
      await until(async () => (await events(app)) > 0);
      expect(await app.spark.sweep()).toMatchObject({ subjects: 0, elsewhere: 1 });
      running.process.kill('SIGKILL');
      let report = await app.spark.sweep();
      for (; report.elsewhere > 0; report = await app.spark.sweep()) await delay(50);
      // From the start: the other version has swept a part.
      expect(report).toMatchObject({ subjects: RANGE + 300 });
    });

    it('in ranges at once within a process, at a rate, and says how far all are', async () => {
      const app = await start();
      await insert(app, 2 * RANGE);
      let [running, most] = [0, 0];
      seen.onPage = async () => {
        most = Math.max(most, ++running);
        // The first range waits for the second one, also on a machine that is busy.
        await until(async () => most === 2);
        await delay(10);
        running--;
      };
      const steps: { passed: number; total: number | undefined; timeLeft: number | undefined }[] = [];
      app.spark.sweeps$.subscribe((step) => steps.push(step));
      if (database.name === 'PostgreSQL') await app.dataSource.query('ANALYZE "row"');
      expect(await app.spark.sweep({ concurrency: 2 })).toMatchObject({ subjects: 2 * RANGE });
      expect(most).toBe(2);
      expect(steps.at(-1)).toMatchObject({ passed: 2 * RANGE, done: true, timeLeft: 0 });
      expect(steps[0]!.total).toBeGreaterThan(RANGE);
      expect(steps.some(({ timeLeft }) => timeLeft! > 0)).toBe(true);

      const began = performance.now();
      await app.spark.sweep({ rate: 10_000 });
      // The first page does not wait.
      expect(performance.now() - began).toBeGreaterThan(0.9 * ((2 * RANGE - 500) / 10));
    });

    it('not together with a process of the previous release, which knows no ranges', async () => {
      const app = await start();
      await insert(app, RANGE + 300);
      const ofOld = (changes: string) =>
        app.dataSource.query(`UPDATE spark_sweep SET ${changes} WHERE source = 'rows'`);
      await app.spark.sweep();
      await ofOld(`holder = 'old', held_until = 99999999999999, began_at = 1, reached = '4000'`);
      expect(await app.spark.sweep()).toMatchObject({ subjects: 0, elsewhere: 1 });
      // It has died.
      await ofOld('held_until = 1');
      expect(await app.spark.sweep()).toMatchObject({ subjects: RANGE + 300, elsewhere: 0 });
      // It has been shut down.
      await ofOld(`holder = NULL, began_at = 1, reached = '4000'`);
      expect(await app.spark.sweep()).toMatchObject({ subjects: RANGE + 300, elsewhere: 0 });

      // The previous release takes a source that nobody holds, or whose lease is over.
      const running = other({ pause: 200 });
      const holder = async () => {
        const [row] = await app.dataSource.query('SELECT holder, held_until, reached FROM spark_sweep');
        return { ...row, held_until: Number(row.held_until) };
      };
      await until(async () => (await holder()).holder !== null);
      const { held_until: first } = await holder();
      expect(first).toBeGreaterThan(Date.now() - 1_000);
      // The lease goes on, and there is no key from which the previous release would continue.
      await until(async () => (await holder()).held_until > first);
      expect((await holder()).reached).toBeNull();
      await running.result;
      expect(await holder()).toMatchObject({ holder: null, reached: null });
    });

    it('some of the keys, beside another sweep, as often as it is asked to', async () => {
      const app = await start();
      await insert(app, 1_200);
      const sweep = (options: SweepCallOptions) => app.spark.sweep({ entity: Row, ...options });
      expect(await sweep({ ids: [7, 3, 3, 9_999] })).toMatchObject({ subjects: 2, entered: 2, held: 0 });
      expect(ascending(seen.read.splice(0))).toEqual([3, 7]);
      expect(await sweep({ from: 10, to: 12 })).toMatchObject({ subjects: 3, entered: 3 });
      expect(await sweep({ to: 2 })).toMatchObject({ subjects: 2 });
      expect(seen.read.splice(0)).toEqual([10, 11, 12, 1, 2]);
      expect(await sweep({ from: 1_000 })).toMatchObject({ subjects: 201 });
      expect((await app.spark.status()).sources[0]).toMatchObject({
        finished: undefined,
        sweeping: undefined,
        foundBySweep: 2 + 3 + 2 + 201,
      });
      expect(await app.spark.sweep()).toMatchObject({ subjects: 1_200, entered: 1_200 - 208 });
    });

    it('no sweep ends while a call for some of the keys is running, so that it leaves nothing held back', async () => {
      const [app, calling] = [await start(), await start()];
      await insert(app, 1_200);
      let release = () => {};
      const released = new Promise<void>((resolve) => (release = resolve));
      const { run } = rowSource;
      rowSource.run = async (rows) => {
        if (rows.length === 1) await released;
        return run(rows);
      };
      const call = calling.spark.sweep({ entity: Row, ids: [7] });
      const status = async () => (await app.spark.status()).sources[0]!;
      await until(async () => (await app.dataSource.query('SELECT id FROM spark_sweep_range')).length > 0);
      const sweep = app.spark.sweep();
      await until(async () => (await status()).sweeping?.passed === 1_200);
      await delay(300);
      expect(await status()).toMatchObject({ finished: undefined });
      release();
      expect(await call).toMatchObject({ subjects: 1, failed: 0 });
      expect(await sweep).toMatchObject({ subjects: 1_200, failed: 0 });
      expect(await status()).toMatchObject({ finished: expect.any(Date), sweeping: undefined });

      // One that fails is over at once.
      rowSource.run = async () => {
        throw new Error('poisoned');
      };
      await app.dataSource.query(`DROP TABLE ${app.dataSource.driver.escape('row')}`);
      expect(await calling.spark.sweep({ entity: Row, from: 1 })).toMatchObject({ subjects: 0, failed: 1 });
      expect(await app.dataSource.query('SELECT id FROM spark_sweep_range')).toEqual([]);
      await app.spark.pauseSweep('rows');
      expect(await app.spark.sweep({ entity: Row, ids: [1] })).toMatchObject({ failed: 0, paused: 1 });
    });

    it('a call for some of the keys waits for the end of a sweep that is ending', async () => {
      const app = await start();
      await insert(app, 10);
      await app.dataSource.query(
        `INSERT INTO spark_sweep_range (id, source, state, holder, held_until, subjects, found)
         VALUES ('ending', 'rows', 'ending', 'another', ${Date.now() + 3_600_000}, 0, 0)`,
      );
      const call = app.spark.sweep({ entity: Row, ids: [7] });
      await delay(300);
      expect(seen.read).toEqual([]);
      await app.dataSource.query(`DELETE FROM spark_sweep_range WHERE id = 'ending'`);
      expect(await call).toMatchObject({ subjects: 1, failed: 0 });
    });

    it('a pause ends a sweep at its next page, for all processes, and it goes on there', async () => {
      const app = await start();
      await insert(app, RANGE + 300);
      const running = other({ pause: 500 });
      await until(async () => (await events(app)) > 0);
      await app.spark.pauseSweep('rows');
      const { reports, read } = await running.result;
      expect(reports).toMatchObject([{ paused: 1, elsewhere: 0, failed: 0 }]);
      expect(read.length).toBeLessThan(RANGE);
      expect(await app.spark.sweep()).toMatchObject({ subjects: 0, paused: 1 });
      const status = async () => (await app.spark.status()).sources[0]!;
      expect(await status()).toMatchObject({ paused: expect.any(Date), sweeping: { ranges: 0, running: false } });
      await app.spark.resumeSweep('rows');
      const passed = await events(app);
      expect(await app.spark.sweep()).toMatchObject({ subjects: RANGE + 300 - passed + RANGE + 300, paused: 0 });
      expect(await status()).toMatchObject({ paused: undefined, sweeping: undefined });
      expect(await events(app)).toBe(RANGE + 300);
    });

    it('a range that cannot be swept keeps none of the others from being swept', async () => {
      const app = await start();
      await insert(app, 3 * RANGE);
      const trigger = {
        SQLite: `CREATE TRIGGER refuse BEFORE INSERT ON spark_event WHEN NEW.event_key = 'row_6000' BEGIN SELECT RAISE(ABORT, 'refused'); END`,
        PostgreSQL: `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.event_key = 'row_6000' THEN RAISE 'refused'; END IF; RETURN NEW; END $$;
          CREATE TRIGGER refuse BEFORE INSERT ON spark_event FOR EACH ROW EXECUTE FUNCTION refuse()`,
        MariaDB: `CREATE TRIGGER refuse BEFORE INSERT ON spark_event FOR EACH ROW IF NEW.event_key = 'row_6000' THEN SIGNAL SQLSTATE '45000'; END IF`,
      }[database.name];
      await app.dataSource.query(trigger);
      expect(await app.spark.sweep()).toMatchObject({ failed: 1 });
      // The range after the broken one was swept, and the sweep does not count.
      expect(await events(app)).toBeGreaterThanOrEqual(2 * RANGE);
      expect((await app.spark.status()).sources[0]).toMatchObject({ finished: undefined, sweeping: undefined });
      await app.dataSource.query(`DROP TRIGGER refuse${database.name === 'PostgreSQL' ? ' ON spark_event' : ''}`);
      expect(await app.spark.sweep()).toMatchObject({ subjects: 3 * RANGE, failed: 0 });
      expect(await events(app)).toBe(3 * RANGE);
    });

    it('calls that mean nothing are refused', async () => {
      const { spark } = await start();
      const refused: [string, SweepCallOptions][] = [
        ['concurrency', { concurrency: 0 }],
        ['rate', { rate: 1.5 }],
        ['full', { full: 'yes' as never }],
        ['ids', { ids: [1] }],
        ['from', { from: 1 }],
        ['ids', { entity: Row, ids: 7 as never }],
        ['ids', { entity: Row, ids: [1], to: 2 }],
        ['page', { page: 5 } as never],
      ];
      for (const [name, options] of refused) {
        const error = await spark.sweep(options).catch((reason: unknown) => reason as Error);
        expect(error).toBeInstanceOf(InvalidOptionsError);
        expect((error as Error).message).toContain(`SparkService.sweep { ${name} }`);
      }
      await expect(spark.sweep({ entity: Row, ids: [{}] })).rejects.toThrow(TypeError);
      await expect(spark.sweep({ entity: 'Nobody' })).rejects.not.toThrow(NoSourceError);
      await expect(spark.pauseSweep('nobody')).rejects.toThrow(UnknownSourceError);
      await expect(spark.resumeSweep('nobody')).rejects.toThrow('Known sources: rows');
    });
  });
});
