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

/** What JavaScript lets a handler throw. */
const odd = [
  undefined,
  null,
  Object.assign(new Error('odd'), { stack: 42 }),
  Object.defineProperty(new Error('odd'), 'stack', {
    get() {
      throw new Error('no stack');
    },
  }),
  new Error(`NUL \0 is no text on PostgreSQL ${'x'.repeat(20_000)}`),
  new Proxy(
    {},
    {
      get() {
        throw new Error('not to be read');
      },
      getPrototypeOf() {
        throw new Error('not to be read');
      },
    },
  ),
  Promise.reject.bind(Promise, new Error('a function')),
  'a lone surrogate: \ud800',
];

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

  @GroupHandler(/^odd/, { name: 'odd' })
  odd({ key }: SparkEvent) {
    throw odd[Number(key.slice('odd_'.length))];
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

  it('whatever it throws is kept as its last error, up to 10,000 characters, and the process goes on', async () => {
    await app.spark.emit(odd.map((_, i) => sparkEvent('odd', i)));
    await over(odd.length);
    const rows = await app.dataSource.query(
      `SELECT state, last_error FROM spark_delivery WHERE handler = 'odd' ORDER BY event_id`,
    );
    expect(rows.map((row: any) => row.state)).toEqual(odd.map(() => 'discarded'));
    const errors = rows.map((row: any) => row.last_error as string);
    expect(errors.slice(0, 4)).toEqual(['undefined', 'null', 'Error: odd', 'Error: odd']);
    expect(errors[4]).toContain('NUL \\0 is no text');
    expect(errors[4]).toHaveLength(10_000);
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
