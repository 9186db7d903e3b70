import { Injectable } from '@nestjs/common';
import { type DeliveryReport, GroupHandler, type HandlerScope, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

let broken = true;

@Injectable()
class Handlers {
  @GroupHandler(/^hangs/, { name: 'hangs' })
  hang(_event: SparkEvent, { signal }: HandlerScope) {
    return new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
  }

  @GroupHandler(/^urgent/, { name: 'urgent', priority: -10 })
  urgent() {}
}

@Injectable()
class Failing {
  @GroupHandler(/^fails/, { name: 'fails', backoff: () => '1h' })
  fail() {
    if (broken) throw new Error('out of paper');
  }
}

@Injectable()
class LessPatient {
  @GroupHandler(/^fails/, { name: 'fails', maxAttempts: 3 })
  fail() {}
}

describe.each(databases)('no handler takes the last place, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let reports: DeliveryReport[];

  const start = async (providers: any[], worker: object | false) => {
    app = await startApp({ database: db, entities: [], providers, spark: { worker, shutdownTimeout: 50 } });
    app.spark.deliveries$.subscribe((report) => reports.push(report));
  };
  beforeEach(async () => {
    db = await database.create();
    reports = [];
    broken = true;
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  it('others get their deliveries while one hangs with all its own, and the status shows what hangs since when', async () => {
    await start([Handlers], { concurrency: 3, pollInterval: '20ms' });
    await app.spark.emit(Array.from({ length: 10 }, (_, i) => sparkEvent('hangs', i)));
    await vi.waitFor(async () => expect((await app.spark.status()).running).toHaveLength(2), 15_000);
    await app.spark.emit(Array.from({ length: 5 }, (_, i) => sparkEvent('urgent', i)));
    await vi.waitFor(() => expect(reports.filter(({ handler }) => handler === 'urgent')).toHaveLength(5), 15_000);
    const { running } = await app.spark.status();
    expect(running).toEqual(
      [0, 1].map((i) => ({ handler: 'hangs', key: `hangs_${i}`, attempt: 1, since: expect.any(Date) })),
    );
  });

  it('one that is at work for longer than the lease is logged once, with its key and its start, and shown', async () => {
    const leaseTtl = 4_000;
    await start([Handlers], { concurrency: 4, pollInterval: '20ms', leaseTtl });
    const said = () => app.logs.filter((line) => line.includes('has been handling'));
    const maintain = () =>
      (app.spark as unknown as { spark: { maintenance: { run(): Promise<number> } } }).spark.maintenance.run();
    await app.spark.emit([sparkEvent('hangs', 1), sparkEvent('hangs', 2)]);
    await vi.waitFor(async () => expect((await app.spark.status()).running).toHaveLength(2), 15_000);
    await vi.waitFor(async () => {
      await maintain();
      expect(said()).not.toEqual([]);
    }, 15_000);
    const [first] = (await app.spark.status()).running;
    expect(Date.now() - first!.since.getTime()).toBeGreaterThan(leaseTtl);
    await vi.waitFor(async () => {
      await maintain();
      expect(said()).toHaveLength(2);
    }, 15_000);
    await maintain();
    const { running } = await app.spark.status();
    expect(running.map(({ key }) => key).sort()).toEqual(['hangs_1', 'hangs_2']);
    const lines = running.map(
      ({ handler, key, since }) =>
        `warn ${handler} has been handling ${key} since ${since.toISOString()}. If it hangs, `,
    );
    expect(said().sort()).toEqual(lines.sort().map((line) => expect.stringContaining(line)));
  });

  it('what hangs is given up after the time-out of the module', async () => {
    await start([Handlers], { concurrency: 3, pollInterval: '20ms', handlerTimeout: 60, maxAttempts: 1 });
    await app.spark.emit(sparkEvent('hangs', 1));
    await vi.waitFor(() => expect(reports).toMatchObject([{ handler: 'hangs', state: 'discarded' }]), 15_000);
    expect(reports[0]!.error).toContain('still at work after 60 ms');
  });

  it('deliveries of a process that died are handled one after the other without waiting for a poll', async () => {
    await start([Handlers], { pollInterval: '1h' });
    await app.spark.emit(Array.from({ length: 10 }, (_, i) => sparkEvent('other', i)));
    await app.spark.pauseHandler('urgent');
    await app.dataSource.query(
      `INSERT INTO spark_delivery (event_id, handler, state, attempt, priority, suspect, due_at)
       SELECT id, 'urgent', 'available', 0, 0, 1, 0 FROM spark_event`,
    );
    // A claim that has just found something would not look for other queues, and it finds this one.
    await app.spark.emit(sparkEvent('urgent', 'beside'));
    // A notification, as a rescue sends one.
    await app.spark.resumeHandler('urgent');
    await vi.waitFor(() => expect(reports).toHaveLength(11), 25_000);
  });

  it('where maxAttempts is lowered the real error is kept', async () => {
    await start([Failing], false);
    await app.spark.emit(sparkEvent('fails', 1));
    for (let i = 0; i < 5; i++) {
      await app.dataSource.query('UPDATE spark_delivery SET due_at = 0');
      await app.spark.drain();
    }
    await app.close();
    await start([LessPatient], false);
    await app.dataSource.query('UPDATE spark_delivery SET due_at = 0');
    await app.spark.drain();
    const [row] = await app.dataSource.query('SELECT state, last_error FROM spark_delivery');
    expect(row.state).toBe('discarded');
    expect(row.last_error).toContain('out of paper');
    expect(app.logs.join('\n')).toContain('attempts, and maxAttempts is 3 now');
  });
});
