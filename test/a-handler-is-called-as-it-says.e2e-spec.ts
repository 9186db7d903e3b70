import { Injectable } from '@nestjs/common';
import {
  type DeliveryReport,
  DiscardDelivery,
  GroupHandler,
  type HandlerScope,
  RetryLater,
  sparkEvent,
  type SparkEvent,
} from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

const calls: string[] = [];
let running = 0;
let most = 0;

@Injectable()
class Handlers {
  @GroupHandler(/^slow/, { name: 'slow', timeout: 50, maxAttempts: 2, backoff: () => 10 })
  async slow(_event: SparkEvent, { signal, attempt }: HandlerScope) {
    signal.addEventListener('abort', () => calls.push(`aborted ${attempt}: ${(signal.reason as Error).name}`));
    await delay(5_000, undefined, { ref: false });
  }

  @GroupHandler(/^hopeless/, { name: 'hopeless' })
  hopeless() {
    throw new DiscardDelivery('no such address');
  }

  @GroupHandler(/^busy/, { name: 'busy' })
  busy(_event: SparkEvent, { attempt }: HandlerScope) {
    calls.push(`busy ${attempt}`);
    if (calls.filter((call) => call.startsWith('busy')).length < 4) throw new RetryLater(10, 'rate limit');
  }

  @GroupHandler(/^unclear/, { name: 'unclear' })
  unclear() {
    throw new RetryLater('soonish');
  }

  @GroupHandler(/^narrow/, { name: 'narrow', concurrency: 2 })
  async narrow() {
    most = Math.max(most, ++running);
    await delay(10);
    running--;
  }

  @GroupHandler(/^order/, { name: 'later', priority: 5 })
  later({ key }: SparkEvent) {
    calls.push(`later ${key}`);
  }

  @GroupHandler(/^order/, { name: 'sooner', priority: -5 })
  sooner({ key }: SparkEvent) {
    calls.push(`sooner ${key}`);
  }

  @GroupHandler(/^outside/, { name: 'outside' })
  outside(_event: SparkEvent, scope: HandlerScope) {
    return scope.manager;
  }
}

describe.each(databases)('a handler is called as it says, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let reports: DeliveryReport[] = [];

  beforeAll(async () => {
    db = await database.create();
    const spark = { worker: { concurrency: 8, pollInterval: '20ms', maxAttempts: 1 } };
    app = await startApp({ database: db, entities: [], providers: [Handlers], spark });
    app.spark.deliveries$.subscribe((report) => reports.push(report));
  });
  beforeEach(() => {
    reports = [];
    calls.length = 0;
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const until = async (condition: () => boolean) => {
    for (let i = 0; i < 500 && !condition(); i++) await delay(10);
  };
  const over = (count: number) => until(() => reports.filter(({ state }) => state !== 'available').length >= count);

  it('no longer than its time-out: its signal is aborted, its place is free, and it is tried again', async () => {
    await app.spark.emit(sparkEvent('slow', 1));
    await over(1);
    expect(calls).toEqual(['aborted 1: HandlerTimeoutError', 'aborted 2: HandlerTimeoutError']);
    expect(reports.map(({ state, attempt }) => [state, attempt])).toEqual([
      ['available', 1],
      ['discarded', 2],
    ]);
    expect(reports[1]!.error).toContain('still at work after 50 ms');
  });

  it('never again, when it says that it is hopeless', async () => {
    await app.spark.emit(sparkEvent('hopeless', 1));
    await over(1);
    expect(reports).toMatchObject([{ state: 'discarded', attempt: 1 }]);
    expect(reports[0]!.error).toContain('no such address');
  });

  it('later, when it says so, without using up its attempts', async () => {
    await app.spark.emit(sparkEvent('busy', 1));
    await over(1);
    expect(calls).toEqual(['busy 1', 'busy 1', 'busy 1', 'busy 1']);
    expect(reports.at(-1)).toMatchObject({ state: 'completed', attempt: 1 });
  });

  it('no more often at once than it allows', async () => {
    await app.spark.emit(Array.from({ length: 20 }, (_, i) => sparkEvent('narrow', i)));
    await over(20);
    expect(reports).toHaveLength(20);
    expect(most).toBe(2);
  });

  it('in the order of priorities', async () => {
    // A worker that stands still while deliveries are opened claims them in order afterwards.
    await app.dataSource.transaction(async (manager) => {
      await app.spark.emit(
        [1, 2, 3].map((i) => sparkEvent('order', i)),
        { manager },
      );
    });
    await over(6);
    const rows = await app.dataSource.query(
      `SELECT handler, priority FROM spark_delivery WHERE handler IN ('later', 'sooner')`,
    );
    expect(rows).toHaveLength(6);
    expect(rows.every((row: any) => Number(row.priority) === (row.handler === 'later' ? 5 : -5))).toBe(true);
    expect(calls.slice(0, 3).every((call) => call.startsWith('sooner'))).toBe(true);
  });

  it('with a clear error where it asks for a manager without being transactional', async () => {
    await app.spark.emit(sparkEvent('outside', 1));
    await over(1);
    expect(reports[0]!.error).toContain('outside has no scope.manager: it is not transactional');
  });

  it('a delay that is none is a failure as any other', async () => {
    await app.spark.emit(sparkEvent('unclear', 1));
    await app.spark.drain();
    expect(reports).toMatchObject([{ state: 'discarded', attempt: 1 }]);
    expect(reports[0]!.error).toContain('RetryLater');
    expect(reports[0]!.error).toContain('soonish');
  });
});

describe.each(databases)('a shutdown loses nothing, on $name', (database) => {
  it('gives back what was not done, with its attempt, and says so', async () => {
    const db = await database.create();
    @Injectable()
    class Endless {
      @GroupHandler(/./, { name: 'endless' })
      async handle(_event: SparkEvent, { signal }: HandlerScope) {
        calls.push('begun');
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        calls.push(`stopped: ${(signal.reason as Error).name}`);
      }
    }
    calls.length = 0;
    const spark = { worker: { pollInterval: '20ms' }, shutdownTimeout: 100 };
    const app = await startApp({ database: db, entities: [], providers: [Endless], spark });
    await app.spark.emit([sparkEvent('endless', 1), sparkEvent('endless', 2)]);
    for (let i = 0; i < 300 && calls.length < 2; i++) await delay(10);
    await app.close();
    await delay(20);
    expect(calls.filter((call) => call === 'stopped: WorkerStoppedError')).toHaveLength(2);
    expect(app.logs.join('\n')).toContain(
      '2 handlers were still at work after 100 ms; their deliveries are given back',
    );

    const next = await startApp({ database: db, entities: [], spark: { worker: false } });
    const rows = await next.dataSource.query('SELECT state, attempt, suspect, claimed_by FROM spark_delivery');
    expect(rows).toEqual([1, 2].map(() => ({ state: 'available', attempt: 0, suspect: 0, claimed_by: null })));
    expect(await next.dataSource.query('SELECT * FROM spark_worker')).toEqual([]);
    await next.close();
    await db.drop();
  });
});
