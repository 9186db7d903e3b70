import { setTimeout as delay } from 'node:timers/promises';
import { Injectable, type Provider } from '@nestjs/common';
import {
  GroupHandler,
  type GroupHandlerOptions,
  type HandlerScope,
  SparkInterceptor,
  type SparkInterceptorHooks,
  sparkEvent,
  type SparkEvent,
} from 'nestjs-spark';
import { AbstractLogger } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

/** What the handlers of all applications of a test did. */
interface Begun {
  readonly key: string;
  readonly at: number;
  readonly attempt: number;
}
let begun: Begun[];
let running: { now: number; most: number };

/** The statements that a DataSource sends. */
class Log extends AbstractLogger {
  readonly statements: string[] = [];

  constructor() {
    super('all');
  }

  override logQuery(sql: string): void {
    this.statements.push(sql);
  }

  protected writeLog(): void {}
}

/** A handler of mails with limits, and one without. */
function handlersWith(options: GroupHandlerOptions, work: () => Promise<unknown> = async () => undefined): Provider {
  @Injectable()
  class Handlers {
    @GroupHandler(/^mail/, { name: 'mails', ...options })
    async mail({ key }: SparkEvent, { attempt }: HandlerScope) {
      begun.push({ key, at: performance.now(), attempt });
      running.most = Math.max(running.most, ++running.now);
      await work();
      running.now--;
    }

    @GroupHandler(/^note/, { name: 'notes' })
    note({ key }: SparkEvent, { attempt }: HandlerScope) {
      begun.push({ key, at: performance.now(), attempt });
    }
  }
  return Handlers;
}

const mails = (count: number, tenant?: string) =>
  Array.from({ length: count }, (_, i) =>
    sparkEvent('mail', [tenant ?? 'none', i], {}, tenant === undefined ? {} : { metadata: { tenant } }),
  );
const notes = (count: number) => Array.from({ length: count }, (_, i) => sparkEvent('note', i));
const begunOf = (prefix: string) => begun.filter(({ key }) => key.startsWith(prefix));

describe.each(databases)('limits over all processes, on $name', (database) => {
  let db: TestDatabase;
  let apps: TestApp[];
  let log: Log;

  const start = async (providers: Provider[], worker: object | false = { concurrency: 5, pollInterval: '100ms' }) => {
    const dataSource = { logger: log, logging: true };
    const app = await startApp({ database: db, entities: [], providers, spark: { worker }, dataSource });
    apps.push(app);
    return app;
  };
  beforeEach(async () => {
    db = await database.create();
    log = new Log();
    apps = [];
    begun = [];
    running = { now: 0, most: 0 };
  });
  afterEach(async () => {
    for (const app of apps) await app.close();
    await db.drop();
  });

  describe('a rate', () => {
    it('is never exceeded by several processes, and all is handled in the end', async () => {
      const limits = handlersWith({ rateLimit: { max: 4, per: '1s' } });
      const [one] = [await start([limits]), await start([limits]), await start([limits])];
      await one.spark.emit(mails(14));
      await vi.waitFor(() => expect(begunOf('mail')).toHaveLength(14), 30_000);
      const times = begun.map(({ at }) => at).sort((a, b) => a - b);
      for (const [i, at] of times.entries()) expect((times[i + 4] ?? Infinity) - at).toBeGreaterThanOrEqual(1_000);
    });

    it('delays no other handler, and what waits is not claimed again and again', async () => {
      const app = await start([handlersWith({ rateLimit: { max: 1, per: '1 hour' } })]);
      await app.spark.emit(mails(20));
      await vi.waitFor(() => expect(begunOf('mail')).toHaveLength(1), 15_000);
      log.statements.length = 0;
      for (const note of notes(20)) {
        await app.spark.emit(note);
        await vi.waitFor(() => expect(begun.at(-1)!.key).toBe(note.key), 15_000);
      }
      expect(begunOf('mail')).toHaveLength(1);
      // Once to find that there is no room, and the removal of old rows.
      expect(log.statements.filter((sql) => sql.includes('spark_limit')).length).toBeLessThan(5);
      const attempts = await app.dataSource.query(
        `SELECT attempt, COUNT(*) AS n FROM spark_delivery WHERE handler = 'mails' GROUP BY attempt ORDER BY attempt`,
      );
      expect(attempts.map((row: { attempt: number; n: unknown }) => [row.attempt, Number(row.n)])).toEqual([
        [0, 19],
        [1, 1],
      ]);
    });

    it('whose row cannot be read stops no other handler, and its deliveries wait until it can', async () => {
      const app = await start([handlersWith({ rateLimit: { max: 100, per: '1s' } })]);
      await app.spark.emit(mails(1));
      await vi.waitFor(() => expect(begunOf('mail')).toHaveLength(1), 15_000);
      await app.dataSource.query(`UPDATE spark_limit SET starts = 'no list'`);
      await app.spark.emit([...mails(2, 'a'), ...notes(3)]);
      await vi.waitFor(() => expect(begunOf('note')).toHaveLength(3), 15_000);
      expect(begunOf('mail')).toHaveLength(1);
      await app.dataSource.query(`UPDATE spark_limit SET starts = '[]'`);
      await vi.waitFor(() => expect(begunOf('mail')).toHaveLength(3), 15_000);
    });

    it('counts for each value of a field of the metadata by itself', async () => {
      const app = await start([handlersWith({ rateLimit: { max: 2, per: '1 hour', key: 'tenant' } })]);
      await app.spark.emit([...mails(5, 'a'), ...mails(1, 'b'), ...mails(4)]);
      await vi.waitFor(() => expect(begun).toHaveLength(5), 15_000);
      await app.spark.emit(notes(1));
      await vi.waitFor(() => expect(begunOf('note')).toHaveLength(1), 15_000);
      expect(
        begunOf('mail')
          .map(({ key }) => key.split(',')[0])
          .sort(),
      ).toEqual(['mail_a', 'mail_a', 'mail_b', 'mail_none', 'mail_none'].sort());
    });

    it('counts deliveries of all priorities together, and those under a former name', async () => {
      const limits = handlersWith({ aliases: ['letters'], rateLimit: { max: 2, per: '1 hour', key: 'tenant' } });
      const recorder = await start([limits], false);
      await recorder.spark.emit(mails(9, 'a'));
      await recorder.dataSource.query(`UPDATE spark_delivery SET priority = 1 WHERE id % 3 = 0`);
      await recorder.dataSource.query(`UPDATE spark_delivery SET handler = 'letters' WHERE id % 3 = 1`);
      const app = await start([limits]);
      await vi.waitFor(() => expect(begun).toHaveLength(2), 15_000);
      await app.spark.emit(notes(1));
      await vi.waitFor(() => expect(begunOf('note')).toHaveLength(1), 15_000);
      expect(begunOf('mail')).toHaveLength(2);
    });

    it('is counted under the former name, too, for processes that still have it', async () => {
      const former = handlersWith({ name: 'letters', rateLimit: { max: 2, per: '1 hour' } });
      const next = handlersWith({ aliases: ['letters'], rateLimit: { max: 2, per: '1 hour' } });
      const one = await start([former]);
      await one.spark.emit(mails(1));
      await vi.waitFor(() => expect(begun).toHaveLength(1), 15_000);
      const two = await start([next]);
      await two.spark.emit(mails(3, 'next'));
      await vi.waitFor(() => expect(begun).toHaveLength(2), 15_000);
      await two.spark.emit(notes(1));
      await vi.waitFor(() => expect(begunOf('note')).toHaveLength(1), 15_000);
      expect(begunOf('mail')).toHaveLength(2);
    });

    it('begins what waits as soon as there is room, without a poll', async () => {
      const app = await start([handlersWith({ rateLimit: { max: 2, per: '1s' } })], { pollInterval: '1h' });
      await app.spark.emit(mails(7));
      await vi.waitFor(() => expect(begun).toHaveLength(7), 30_000);
    });

    it('of many partitions is asked for each of them', async () => {
      const limits = handlersWith({ rateLimit: { max: 1, per: '1 hour', key: 'tenant' } });
      const recorder = await start([limits], false);
      const tenants = Array.from({ length: 250 }, (_, i) => `t${i}`);
      await recorder.spark.emit(tenants.flatMap((tenant) => mails(2, tenant)));
      await start([limits], { pollInterval: '1h', concurrency: 20 });
      await vi.waitFor(() => expect(begun).toHaveLength(250), 30_000);
      expect(new Set(begun.map(({ key }) => key.split(',')[0])).size).toBe(250);
    });

    it('has no room for a handler that would be called too late: it is called later, and the attempt does not count', async () => {
      let calls = 0;
      @SparkInterceptor()
      class Slow implements SparkInterceptorHooks {
        async aroundHandler(_: unknown, next: () => Promise<void>) {
          if (calls++ < 2) await delay(600);
          // An interceptor may swallow errors.
          await next().catch(() => undefined);
        }
      }
      const app = await start([handlersWith({ rateLimit: { max: 100, per: '1s' } }), Slow]);
      const reports: string[] = [];
      app.spark.deliveries$.subscribe(({ state, attempt }) => reports.push(`${state} ${attempt}`));
      await app.spark.emit(mails(1));
      await vi.waitFor(() => expect(begun).toHaveLength(1), 15_000);
      await vi.waitFor(() => expect(reports).toEqual(['completed 1']), 15_000);
      expect([calls, begun[0]!.attempt]).toEqual([3, 1]);
    });
  });

  describe('a concurrency', () => {
    it('is shared by all processes', async () => {
      const limits = handlersWith({ fleetConcurrency: 3 }, () => delay(60));
      const [one] = [await start([limits]), await start([limits]), await start([limits])];
      await one.spark.emit(mails(20));
      await vi.waitFor(() => expect(begun).toHaveLength(20), 30_000);
      expect(running.most).toBe(3);
    });

    it('counts what a process was handling that died, until its lease is over', async () => {
      const app = await start([handlersWith({ fleetConcurrency: 1 })], {
        concurrency: 5,
        pollInterval: '100ms',
        leaseTtl: '2s',
      });
      await app.spark.emit(mails(1));
      await vi.waitFor(
        async () => expect((await app.spark.deliveries({ state: 'completed' })).records).toHaveLength(1),
        15_000,
      );
      // As if another process were handling it.
      await app.dataSource.query(
        `INSERT INTO spark_worker (id, lease_until, host, pid, started_at) VALUES ('dead', ${Date.now() + 1_500}, 'h', 1, 1)`,
      );
      await app.dataSource.query(`UPDATE spark_delivery SET state = 'running', claimed_by = 'dead'`);
      await app.dataSource.query(`UPDATE spark_limit SET running = '["1"]'`);
      await app.spark.emit(mails(1, 'next'));
      await app.spark.emit(notes(1));
      await vi.waitFor(() => expect(begunOf('note')).toHaveLength(1), 15_000);
      expect(begunOf('mail')).toHaveLength(1);
      await vi.waitFor(() => expect(begunOf('mail_next')).toHaveLength(1), 15_000);
    });
  });

  describe('partitions of a handler', () => {
    it('take turns, however much one of them has', async () => {
      const app = await start([handlersWith({ concurrency: 1, fairBy: 'tenant' }, () => delay(5))]);
      await app.spark.emit(mails(60, 'a'));
      await vi.waitFor(() => expect(begun.length).toBeGreaterThan(2), 15_000);
      await app.spark.emit([...mails(3, 'b'), ...mails(3, 'c')]);
      await vi.waitFor(() => expect([...begunOf('mail_b'), ...begunOf('mail_c')]).toHaveLength(6), 30_000);
      expect(begunOf('mail_a').length).toBeLessThan(60);
    });

    it('do not keep one from all the room, where the others wait for a retry', async () => {
      const recorder = await start([handlersWith({ fairBy: 'tenant' })], false);
      await recorder.spark.emit(Array.from({ length: 120 }, (_, i) => mails(1, `other ${i}`)).flat());
      await recorder.dataSource.query('UPDATE spark_delivery SET due_at = due_at + 3600000');
      const app = await start([handlersWith({ fairBy: 'tenant' })], { concurrency: 5, pollInterval: '1h' });
      await app.spark.emit(mails(40, 'busy'));
      await vi.waitFor(() => expect(begun).toHaveLength(40), 15_000);
    });

    it('are known to processes that do not have the handler, and to replays', async () => {
      const owner = await start([handlersWith({ fairBy: 'tenant' })], false);
      const other = await start([], false);
      await other.spark.emit([...mails(1, 'a'), sparkEvent('mail', 7, {}, { metadata: { tenant: 7 } }), ...mails(1)]);
      const parts = async () =>
        (await owner.dataSource.query(`SELECT partition_key FROM spark_delivery ORDER BY partition_key`)).map(
          (row: { partition_key: string }) => row.partition_key,
        );
      expect(await parts()).toEqual(['', '7', 'a']);
      await owner.dataSource.query('DELETE FROM spark_delivery');
      await owner.spark.replay({ handler: 'mails', repeat: true });
      expect(await parts()).toEqual(['', '7', 'a']);
    });
  });
});

describe('limits that cannot be meant', () => {
  it.each([
    [{ rateLimit: { max: 0, per: '1s' } }, 'rateLimit.max'],
    [{ rateLimit: { max: 1, per: '0.5s' } }, 'at least 1 second'],
    [{ rateLimit: { max: 1, per: '1s', by: 'tenant' } as never }, 'rateLimit.by'],
    [{ rateLimit: { max: 1, per: '1s', key: '' } }, 'rateLimit.key'],
    [{ rateLimit: { max: 1, per: '1s', key: 'a' }, fairBy: 'b' }, 'fairBy'],
    [{ fleetConcurrency: 0 }, 'fleetConcurrency'],
    [{ fairBy: 7 as never }, 'fairBy'],
  ] satisfies [GroupHandlerOptions, string][])('%j is refused', async (options, named) => {
    const [{ create }] = databases.filter(({ name }) => name === 'SQLite') as [(typeof databases)[number]];
    const db = await create();
    begun = [];
    const started = startApp({ database: db, entities: [], providers: [handlersWith(options)] });
    await expect(started).rejects.toThrow(named);
    await db.drop();
  });
});
