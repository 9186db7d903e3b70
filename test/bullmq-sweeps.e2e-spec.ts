import { Queue } from 'bullmq';
import { sparkEvent } from 'nestjs-spark';
import { BullMQCarrier } from 'nestjs-spark-bullmq';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { until } from './support/carriers.js';
import { databases, type TestDatabase } from './support/databases.js';
import { type Program, program, type Running } from './support/processes.js';
import { RedisServer } from './support/redis.js';
import { Row } from './support/row.entity.js';
import { RowSource, rowSource } from './support/row-source.js';

const RANGE = 5_000;
const ROWS = 3 * RANGE + 300;

describe.skipIf(!inject('redisServer'))('sweeps with help by BullMQ', () => {
  let helping: Program;

  beforeAll(async () => {
    helping = await program('helping.program.ts');
  }, 60_000);
  afterAll(() => helping.remove());

  describe.each(databases)('on $name', (database) => {
    let db: TestDatabase;
    let redis: RedisServer;
    let app: TestApp;
    let helpers: Running[];
    /** What the process that sweeps has read, and the others. */
    let [own, theirs]: [number[], number[]] = [[], []];
    let onPage: () => Promise<void>;

    beforeEach(async () => {
      db = await database.create();
      redis = await RedisServer.start();
      [own, theirs, helpers, onPage] = [[], [], [], async () => {}];
      rowSource.run = async (rows) => {
        own.push(...rows.map(({ id }) => id));
        await onPage();
        return rows.map(({ id }) => sparkEvent('row', id));
      };
    });
    afterEach(async () => {
      for (const { process } of helpers) process.kill('SIGKILL');
      await app.close();
      await redis.stop();
      await db.drop();
    });

    const bullmq = () => ({ connection: redis.url });
    /** Starts the process that sweeps. */
    const start = async () => {
      const worker = {
        carrier: new BullMQCarrier({ ...bullmq(), roles: ['dispatch'] }),
        leaseTtl: '1.2s',
        leaseRenewal: '200ms',
      };
      app = await startApp({ database: db, entities: [Row], providers: [RowSource], spark: { worker } });
      const table = app.dataSource.driver.escape('row');
      for (let first = 1; first <= ROWS; first += 1_000) {
        const rows = Array.from({ length: Math.min(1_000, ROWS - first + 1) }, (_, i) => `(${first + i}, 'new')`);
        await app.dataSource.query(`INSERT INTO ${table} VALUES ${rows.join(', ')}`);
      }
    };
    /** Starts a process that has the role work and never sweeps. */
    const help = async (pause = 0) => {
      const { driver, ...options } = db.options as { driver?: unknown };
      const helper = helping.start({ options, driver: driver !== undefined, bullmq: bullmq(), pause });
      helper.result.catch(() => undefined);
      helpers.push(helper);
      await new Promise<void>((resolve) =>
        helper.process.on('message', (message: any) => {
          if (message.ready) resolve();
          if (message.read) theirs.push(...message.read);
        }),
      );
      return helper;
    };
    const helped = () => until(() => theirs.length > 0, { seconds: 20 });
    const isAllSwept = async () => {
      expect(new Set([...own, ...theirs]).size).toBe(ROWS);
      const [{ n }] = await app.dataSource.query('SELECT COUNT(*) AS n FROM spark_event');
      expect(Number(n)).toBe(ROWS);
      expect((await app.spark.status()).sources[0]).toMatchObject({ finished: expect.any(Date), sweeping: undefined });
      expect(await app.dataSource.query('SELECT id FROM spark_sweep_range')).toEqual([]);
    };

    it('a process with the role work that never sweeps sweeps some of the ranges, and its jobs are gone afterwards', async () => {
      await start();
      await help();
      onPage = helped;
      expect(await app.spark.sweep()).toMatchObject({ subjects: own.length, failed: 0 });
      await isAllSwept();
      expect(own.length + theirs.length).toBe(ROWS);
      await until(async () => (await redis.admin().keys('bull:spark-sweeps:rows-*')).length === 0);
    }, 60_000);

    it('the range of a helper that is killed is swept by others', async () => {
      await start();
      const { process } = await help(60_000);
      let isKilled = false;
      onPage = async () => {
        await helped();
        if (!isKilled) process.kill('SIGKILL');
        isKilled = true;
      };
      expect(await app.spark.sweep()).toMatchObject({ subjects: ROWS, failed: 0 });
      await isAllSwept();
    }, 60_000);

    it.each(['is away', 'dies while it runs'])(
      'a sweep ends alone if Redis %s',
      async (when) => {
        if (when === 'is away') await redis.kill();
        await start();
        onPage = async () => {
          await redis.kill();
        };
        expect(await app.spark.sweep()).toMatchObject({ subjects: ROWS, failed: 0 });
        await isAllSwept();
        expect(app.logs.filter((line) => /redis|bullmq|carrier/i.test(line)).length).toBeLessThanOrEqual(1);
      },
      60_000,
    );

    it('help comes again with the next range if Redis loses its jobs', async () => {
      await start();
      let pages = 0;
      onPage = async () => {
        pages++;
        if (pages === 2) await redis.admin().flushall();
        if (pages === 3) await help();
        // The second range.
        if (own.length > RANGE + 500) await helped();
      };
      expect(await app.spark.sweep()).toMatchObject({ failed: 0 });
      await isAllSwept();
    }, 60_000);

    it('jobs that wait after the end of a sweep begin none', async () => {
      await start();
      await app.spark.sweep();
      const queue = new Queue('spark-sweeps', { connection: { url: redis.url } });
      expect((await queue.getJobs('wait')).map(({ name, data }) => [name, data])).toContainEqual([
        'rows',
        { source: 'rows' },
      ]);
      await help();
      await until(async () => (await queue.getJobCounts('wait', 'active', 'delayed')).wait === 0);
      await queue.close();
      expect(theirs).toEqual([]);
      await isAllSwept();
    }, 60_000);
  });
});
