import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { GroupHandler, type SparkEvent, sparkEvent } from 'nestjs-spark';
import { BullMQCarrier, type BullMQCarrierOptions } from 'nestjs-spark-bullmq';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { numbers, until } from './support/carriers.js';
import { databases, type TestDatabase } from './support/databases.js';
import { type Program, program, type Running } from './support/processes.js';
import { RedisServer } from './support/redis.js';

/** How long a delivery may be on its way, in milliseconds. */
const TTL = 2_000;

@Injectable()
class Quick {
  readonly keys: string[] = [];

  @GroupHandler(/./, { name: 'worker' })
  handle({ key }: SparkEvent) {
    this.keys.push(key);
  }
}

describe.skipIf(!inject('redisServer'))('deliveries by BullMQ and the database', () => {
  let delivering: Program;

  beforeAll(async () => {
    delivering = await program('delivering.program.ts');
  }, 60_000);
  afterAll(() => delivering.remove());

  describe.each(databases)('on $name', (database) => {
    let db: TestDatabase;
    let redis: RedisServer;
    let web: TestApp;
    let apps: TestApp[] = [];
    let actors: Running[] = [];

    beforeEach(async () => {
      db = await database.create();
      redis = await RedisServer.start();
      web = await startApp({ database: db, entities: [], spark: { worker: false } });
      await web.dataSource.query('CREATE TABLE calls (name VARCHAR(100), pid INT, attempt INT)');
    });
    afterEach(async () => {
      redis.goOn();
      for (const { process } of actors) process.kill('SIGKILL');
      actors = [];
      for (const app of [...apps, web]) await app.close();
      apps = [];
      await redis.stop();
      await db.drop();
    });

    const options = (more: Partial<BullMQCarrierOptions> = {}) => ({ connection: redis.url, ttl: TTL, ...more });
    /** A process that ends when the test does. */
    const start = async (more: Partial<BullMQCarrierOptions> = {}) => {
      const { driver, ...given } = db.options as { driver?: unknown };
      const actor = delivering.start({ options: given, driver: driver !== undefined, bullmq: options(more) });
      actor.result.catch(() => undefined);
      actors.push(actor);
      await said(actor, 'ready');
      return actor;
    };
    const startInside = async (more: Partial<BullMQCarrierOptions> = {}) => {
      const worker = { carrier: new BullMQCarrier(options(more)), leaseTtl: '1.2s', leaseRenewal: '200ms' };
      const app = await startApp({ database: db, entities: [], providers: [Quick], spark: { worker } });
      apps.push(app);
      return app;
    };
    const said = ({ process }: Running, what: string) =>
      new Promise<void>((resolve, reject) => {
        process.on('message', (message: any) => message[what] && resolve());
        process.once('exit', () => reject(new Error('the process has ended')));
      });
    const emit = (group: string, ids: number[]) => web.spark.emit(ids.map((id) => sparkEvent(group, id)));
    const states = async () => {
      const rows = await web.dataSource.query('SELECT state, COUNT(*) AS n FROM spark_delivery GROUP BY state');
      return Object.fromEntries(rows.map(({ state, n }: any) => [state, Number(n)])) as Record<string, number>;
    };
    const settled = (seconds = 30) =>
      until(async () => Object.keys(await states()).every((state) => state === 'completed' || state === 'discarded'), {
        seconds,
      });
    const calls = async () => {
      const rows = await web.dataSource.query('SELECT name, attempt FROM calls');
      return rows.map(({ name }: any) => name as string);
    };
    const roles = (role: 'dispatch' | 'work') => ({ roles: [role] });

    it('are handled once each, by processes that work, and never by the one that sends', async () => {
      const dispatcher = await startInside(roles('dispatch'));
      const workers = [await startInside(roles('work')), await startInside(roles('work'))];
      await emit('quick', numbers(500));
      await settled();

      const keysOf = (app: TestApp) => app.app.get(Quick).keys;
      expect(keysOf(dispatcher)).toEqual([]);
      const all = workers.flatMap(keysOf);
      expect([all.length, new Set(all).size]).toEqual([500, 500]);
      expect(await states()).toEqual({ completed: 500 });
    }, 60_000);

    it('of a killed worker are handled by another one', async () => {
      await startInside(roles('dispatch'));
      const first = await start(roles('work'));
      await emit('slow', numbers(60));
      await said(first, 'called');
      first.process.kill('SIGKILL');
      await start(roles('work'));
      await settled(60);

      expect(await states()).toEqual({ completed: 60 });
      // At most those that ran when it was killed were called again.
      expect(new Set(await calls()).size).toBe(60);
      expect((await calls()).length).toBeLessThanOrEqual(70);
    }, 90_000);

    it('that kill their process end discarded, and those beside them go free', async () => {
      await startInside(roles('dispatch'));
      // A process may die before it is ready.
      const alive = async (): Promise<void> => {
        const actor = await start(roles('work')).catch(() => undefined);
        if (actor) actor.process.once('exit', () => actors.includes(actor) && void alive());
        else if (actors.length > 0) await alive();
      };
      await alive();
      await emit('quick', numbers(5));
      await emit('poison', [1]);
      await settled(60);

      expect(await states()).toEqual({ completed: 5, discarded: 1 });
    }, 90_000);

    it('of a killed dispatcher are sent by another one', async () => {
      const first = await start(roles('dispatch'));
      await startInside(roles('work'));
      await emit('quick', numbers(1_000));
      first.process.kill('SIGKILL');
      await emit('more', numbers(50));
      await start(roles('dispatch'));
      await settled(60);

      expect(await states()).toEqual({ completed: 1_050 });
      const keys = apps.flatMap(({ app }) => app.get(Quick).keys);
      expect([keys.length, new Set(keys).size]).toEqual([1_050, 1_050]);
    }, 90_000);

    it.each(['crashes', 'is emptied', 'is full', 'stands still'])(
      'are handled once each while Redis %s',
      async (how) => {
        for (const role of ['dispatch', 'work', 'work'] as const) await startInside(roles(role));
        const admin = redis.admin();
        let sent = 0;
        const emitSome = async () => {
          await emit('quick', numbers(40, sent + 1));
          sent += 40;
          await delay(100);
        };
        for (let i = 0; i < 5; i++) await emitSome();
        if (how === 'crashes') await redis.kill();
        if (how === 'is emptied') await admin.flushall();
        if (how === 'is full') await admin.config('SET', 'maxmemory', '1');
        if (how === 'stands still') redis.stall();
        // What saves does not notice it.
        const began = performance.now();
        for (let i = 0; i < 5; i++) await emitSome();
        expect(performance.now() - began).toBeLessThan(3_000);
        await delay(4_000);
        if (how === 'crashes') await redis.start();
        if (how === 'is full') await admin.config('SET', 'maxmemory', '0');
        if (how === 'stands still') redis.goOn();
        for (let i = 0; i < 5; i++) await emitSome();
        await settled(60);

        expect(await states()).toEqual({ completed: sent });
        const keys = apps.flatMap(({ app }) => app.get(Quick).keys);
        expect([keys.length, new Set(keys).size]).toEqual([sent, sent]);
      },
      120_000,
    );

    it('are claimed while Redis is away at boot, and brought by it once it is there', async () => {
      await redis.kill();
      const app = await startInside();
      await emit('quick', numbers(20));
      await settled();
      expect(app.app.get(Quick).keys).toHaveLength(20);

      await redis.start();
      await until(() => app.logs.some((line) => /is back after/.test(line)), { seconds: 20 });
      await emit('later', numbers(20));
      await settled();
      const [, jobs] = /keys=(\d+)/.exec(await redis.admin().info('keyspace')) ?? [];
      expect(Number(jobs)).toBeGreaterThan(0);
      expect(app.app.get(Quick).keys).toHaveLength(40);
    }, 60_000);

    it('wait for a Redis that is away with fallback: wait', async () => {
      await redis.kill();
      const app = await startInside({ fallback: 'wait' });
      await emit('quick', numbers(20));
      await delay(1_500);
      expect(app.app.get(Quick).keys).toEqual([]);

      await redis.start();
      await settled();
      expect(app.app.get(Quick).keys).toHaveLength(20);
    }, 60_000);
  });
});
