import { Injectable } from '@nestjs/common';
import {
  DiscardDelivery,
  GroupHandler,
  type HandlerScope,
  RetryLater,
  sparkEvent,
  type SparkEvent,
} from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { Column, DataSource, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { blockProcess } from './support/block-process.js';
import { databases, type TestDatabase } from './support/databases.js';
import { QueryLog } from './support/query-log.js';

const TTL = 1_200;
const calls: { key: string; attempt: number; at: number }[] = [];
const busy: string[] = [];
const quick: string[] = [];
let onFirst = async () => {};
const stopped: { at: number; reason: Error }[] = [];

@Injectable()
class Handlers {
  @GroupHandler(/^thing$/, { name: 'slow', maxAttempts: 1 })
  async slow({ key }: SparkEvent, { signal, attempt }: HandlerScope) {
    calls.push({ key, attempt, at: Date.now() });
    if (calls.length > 1) return;
    signal.addEventListener('abort', () => stopped.push({ at: Date.now(), reason: signal.reason as Error }));
    // It does not listen itself.
    await delay(20_000, undefined, { ref: false });
  }

  @GroupHandler(/^quick$/, { name: 'quick' })
  async quick({ key }: SparkEvent) {
    if (key === 'quick_1') await onFirst();
    quick.push(key);
  }

  @GroupHandler(/^busy$/, { name: 'busy', maxAttempts: 1 })
  busy({ key }: SparkEvent) {
    busy.push(key);
    blockProcess(400);
  }
}

const takenOver: string[] = [];
const ENDS: Record<string, () => void> = {
  completed: () => undefined,
  failed: () => {
    throw new Error('on purpose');
  },
  discarded: () => {
    throw new DiscardDelivery('on purpose');
  },
  delayed: () => {
    throw new RetryLater('1s', 'on purpose');
  },
};

@Injectable()
class Contested {
  constructor(private readonly dataSource: DataSource) {}

  /** While it is at work, another process takes its delivery over: as many attempts later, or with the same. */
  @GroupHandler(/^thing/, { name: 'thing', maxAttempts: 5 })
  async handle({ key }: SparkEvent<undefined>) {
    const [, end, rival] = key.split('_');
    const changes = rival === 'claim' ? `claimed_by = 'rival'` : 'attempt = attempt + 1';
    const event = `(SELECT id FROM spark_event WHERE event_key = '${key}')`;
    await this.dataSource.query(`UPDATE spark_delivery SET ${changes}, due_at = 7 WHERE event_id = ${event}`);
    takenOver.push(key);
    ENDS[end!]!();
  }
}

describe.each(databases)('a process that lost its lease stops, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let other: TestApp;

  beforeEach(async () => {
    calls.length = busy.length = quick.length = stopped.length = 0;
    db = await database.create();
    other = await startApp({ database: db, entities: [], spark: { worker: false } });
    const worker = { pollInterval: '20ms', leaseTtl: TTL, leaseRenewal: '100ms' };
    app = await startApp({ database: db, entities: [], providers: [Handlers], spark: { worker } });
  });
  afterEach(async () => {
    await app.close();
    await other.close();
    await db.drop();
  });

  const rename = (from: string, to: string) => other.dataSource.query(`ALTER TABLE ${from} RENAME TO ${to}`);
  const until = async (condition: () => boolean | Promise<boolean>) => {
    for (let i = 0; i < 500 && !(await condition()); i++) await delay(10);
  };

  it('before others may take over, claims nothing more, and goes on under a new one; nothing is charged', async () => {
    await app.spark.emit(sparkEvent('thing', 1));
    await until(() => calls.length > 0);
    // It cannot renew any more, but everything else is there.
    await rename('spark_worker', 'away');
    await until(() => stopped.length > 0);
    const [{ lease_until: end } = { lease_until: 0 }] = await other.dataSource.query('SELECT lease_until FROM away');
    expect(stopped[0]!.at).toBeLessThan(Number(end));
    expect(stopped[0]!.reason.name).toBe('WorkerStoppedError');

    await app.spark.emit(sparkEvent('thing', 2));
    await delay(200);
    expect(calls.map(({ key }) => key)).toEqual(['thing_1']);

    await rename('away', 'spark_worker');
    const states = async () =>
      (await other.dataSource.query('SELECT state FROM spark_delivery')) as { state: string }[];
    await until(async () => (await states()).every(({ state }) => ['completed', 'discarded'].includes(state)));
    // One attempt is all that it has: being stopped was none.
    expect(await states()).toEqual([{ state: 'completed' }, { state: 'completed' }]);
    expect(calls.map(({ key, attempt }) => `${key} ${attempt}`).sort()).toEqual([
      'thing_1 1',
      'thing_1 1',
      'thing_2 1',
    ]);
    const lines = app.logs.filter((line) => line.includes('handlers are aborted'));
    expect(lines).toEqual(['warn 1 handlers are aborted: this process was too slow to renew its lease.']);
  });

  it('a drain waits until the lease is held again, or says why it cannot be', async () => {
    await app.spark.emit(sparkEvent('quick', 7));
    await app.spark.drain();
    const { lease } = (app.spark as unknown as { spark: { lease: { isHeld: boolean } } }).spark;
    await rename('spark_worker', 'away');
    await until(() => !lease.isHeld);
    await app.spark.emit(sparkEvent('quick', 8));
    await expect(app.spark.drain()).rejects.toThrow(/spark_worker/);
    await rename('away', 'spark_worker');
    await app.spark.drain().catch(() => app.spark.drain());
    expect(quick).toContain('quick_8');
  });

  it('gives back what it claimed and did not begin, so that it waits for no rescue', async () => {
    const { lease } = (app.spark as unknown as { spark: { lease: { holds: (id: string) => boolean } } }).spark;
    vi.spyOn(lease, 'holds').mockReturnValueOnce(false);
    await app.spark.emit(sparkEvent('quick', 9));
    await vi.waitFor(() => expect(quick).toEqual(['quick_9']), 10_000);
    const { records } = await app.spark.deliveries({ handler: 'quick' });
    expect(records.map(({ attempt }) => attempt)).toEqual([1]);
  });

  it('what handlers do while they keep the process busy for longer than its lease counts, if nobody has taken over', async () => {
    await app.spark.emit(Array.from({ length: 10 }, (_, i) => sparkEvent('busy', i)));
    const completed = async () =>
      Number((await other.dataSource.query(`SELECT COUNT(*) AS n FROM spark_delivery WHERE state = 'completed'`))[0].n);
    for (let i = 0; i < 1_000 && (await completed()) < 10; i++) await delay(20);
    expect(await completed()).toBe(10);
    // Those that had been called were completed; those that had not are called under the new lease.
    expect(busy.toSorted()).toEqual(Array.from({ length: 10 }, (_, i) => `busy_${i}`));
    expect(app.logs.filter((line) => line.includes('taken over'))).toEqual([]);
  });
});

let blocking = 0;
function block(value: number): number {
  if (blocking > 0) blockProcess(blocking);
  return value;
}

@Entity()
class Slow {
  @PrimaryGeneratedColumn() id: number;
  @Column({ type: 'int', default: 1, transformer: { to: (value: number) => value, from: block } }) value: number;
}

@Injectable()
class SlowReads {
  @GroupHandler(/^slow/, { name: 'slow-reads', maxAttempts: 2 })
  handle({ key }: SparkEvent) {
    calls.push({ key, attempt: 1, at: Date.now() });
  }
}

describe.each(databases)('a context that blocks the process while it is read, on $name', (database) => {
  it('costs its delivery an attempt each time, and is discarded in the end', async () => {
    calls.length = blocking = 0;
    const db = await database.create();
    const worker = { pollInterval: '20ms', leaseTtl: TTL, leaseRenewal: '100ms' };
    const app = await startApp({ database: db, entities: [Slow], providers: [SlowReads], spark: { worker } });
    try {
      const slow = await app.dataSource.manager.save(new Slow());
      blocking = 1.5 * TTL;
      await app.spark.emit(sparkEvent('slow', 1, { slow }));
      const states = async () => (await app.spark.deliveries({})).records.map(({ state }) => state);
      await vi.waitFor(async () => expect(await states()).toEqual(['discarded']), { timeout: 45_000, interval: 200 });
      expect(calls).toEqual([]);
    } finally {
      blocking = 0;
      await app.close();
      await db.drop();
    }
  }, 60_000);
});

// On SQLite whoever writes keeps everybody from renewing a lease.
describe.each(databases.filter(({ name }) => name !== 'SQLite'))(
  'what is written down after the lease was lost, on $name',
  (database) => {
    it('is parted by lease: what was done under the new one is not thrown away with what was done under the old one', async () => {
      quick.length = 0;
      const db = await database.create();
      const other = await startApp({ database: db, entities: [], spark: { worker: false } });
      const worker = { pollInterval: '20ms', leaseTtl: 3_000, leaseRenewal: '50ms' };
      const app = await startApp({ database: db, entities: [], providers: [Handlers], spark: { worker } });
      const runner = other.dataSource.createQueryRunner();
      const lease = async () => (await other.dataSource.query('SELECT id FROM spark_worker'))[0]?.id as string;
      const handled = async (i: number) => {
        await app.spark.emit(sparkEvent('quick', i));
        await vi.waitFor(() => expect(quick).toContain(`quick_${i}`), 5_000);
      };
      try {
        await runner.startTransaction('READ COMMITTED');
        // The completion of the first one waits, and all others wait for it.
        onFirst = () => runner.query('SELECT id FROM spark_delivery FOR UPDATE');
        await handled(1);
        const old = await lease();
        await handled(2);
        await other.dataSource.query('DELETE FROM spark_worker');
        await vi.waitFor(async () => expect([undefined, old]).not.toContain(await lease()), 10_000);
        await handled(3);
        await runner.rollbackTransaction();
        const left = () => other.dataSource.query(`SELECT event_id FROM spark_delivery WHERE state <> 'completed'`);
        await vi.waitFor(async () => expect(await left()).toEqual([]), 10_000);
        expect(quick.filter((key) => key === 'quick_3')).toHaveLength(1);
      } finally {
        if (runner.isTransactionActive) await runner.rollbackTransaction();
        await runner.release();
        await app.close();
        await other.close();
        await db.drop();
      }
    }, 60_000);
  },
);

// SQLite has no locks of rows: there nothing makes a renewal wait that does not make everybody wait.
describe.each(databases.filter(({ name }) => name !== 'SQLite'))(
  'a renewal that is answered late, on $name',
  (database) => {
    it('counts from when it was sent: its handlers are aborted before others may take over', async () => {
      calls.length = stopped.length = 0;
      const db = await database.create();
      const other = await startApp({ database: db, entities: [], spark: { worker: false } });
      const worker = { pollInterval: '20ms', leaseTtl: 12_000, leaseRenewal: 500 };
      const app = await startApp({ database: db, entities: [], providers: [Handlers], spark: { worker } });
      const lock = 'SELECT id FROM spark_worker FOR UPDATE';
      const locked = [other.dataSource.createQueryRunner(), other.dataSource.createQueryRunner()] as const;
      try {
        await app.spark.emit(sparkEvent('thing', 1));
        while (calls.length === 0) await delay(10);
        for (const runner of locked) await runner.startTransaction();
        await locked[0].query(lock);
        const since = Date.now();
        // The renewal waits for the first transaction; those that come after it wait for the second one.
        await delay(1_200);
        const second = locked[1].query(lock);
        // It is given up after four seconds.
        await delay(2_000);
        await locked[0].rollbackTransaction();
        await second;
        while (stopped.length === 0) await delay(10);
        // It was sent half a second after the lock at the latest, and holds for five sixths of twelve seconds.
        expect(stopped[0]!.at - since).toBeGreaterThan(9_500);
        expect(stopped[0]!.at - since).toBeLessThan(12_000);
        expect(stopped[0]!.reason.name).toBe('WorkerStoppedError');
      } finally {
        for (const runner of locked) {
          if (runner.isTransactionActive) await runner.rollbackTransaction();
          await runner.release();
        }
        await app.close();
        await other.close();
        await db.drop();
      }
    });
  },
);

describe.each(databases)('what is taken over by another process is left alone, on $name', (database) => {
  let db: TestDatabase;
  afterEach(() => db.drop());

  const cases = Object.keys(ENDS).flatMap((end) => ['claim', 'attempt'].map((rival) => ({ end, rival })));
  it.each([true, false])(
    'however the handler ends here, and by whatever it is another one’s, history: %s',
    async (history) => {
      takenOver.length = 0;
      db = await database.create();
      const spark = { worker: { pollInterval: '1h' }, history };
      const app = await startApp({ database: db, entities: [], providers: [Contested], spark });
      await app.dataSource.query(
        `INSERT INTO spark_worker (id, lease_until, host, pid, started_at) VALUES ('rival', 99999999999999, 'h', 1, 1)`,
      );
      await app.spark.emit(cases.map(({ end, rival }) => sparkEvent(`thing_${end}`, rival)));
      for (let i = 0; i < 300 && takenOver.length < cases.length; i++) await delay(10);
      await app.spark.drain();
      const rows = await app.dataSource.query(
        `SELECT event_key, state, attempt, suspect, last_error, d.due_at FROM spark_delivery d JOIN spark_event e ON e.id = d.event_id
       ORDER BY event_id`,
      );
      const { fencedAttempts } = (await app.spark.status()).counts;
      await app.close();
      expect(fencedAttempts).toBe(cases.length);
      const sorted = cases.map(({ end, rival }) => `thing_${end}_${rival}`).sort();
      expect(rows.map((row: any) => ({ ...row, due_at: Number(row.due_at) }))).toEqual(
        sorted.map((key) => ({
          event_key: key,
          state: 'running',
          attempt: key.endsWith('claim') ? 1 : 2,
          suspect: 0,
          last_error: null,
          due_at: 7,
        })),
      );
      expect(takenOver).toHaveLength(cases.length);
      expect(app.logs).toContain(
        `warn ${cases.length} deliveries were taken over by other processes before their handlers ended here.`,
      );
    },
  );
});

describe.each(databases)('what dead processes had claimed, on $name', (database) => {
  it('is rescued, however much it is', async () => {
    const db = await database.create();
    const worker = { pollInterval: '1h' as const, leaseTtl: '2s', leaseRenewal: '200ms' };
    const app = await startApp({ database: db, entities: [], providers: [Handlers], spark: { worker } });
    const digits = (name: string) =>
      `(${Array.from({ length: 10 }, (_, i) => `SELECT ${i} AS n`).join(' UNION ALL ')}) ${name}`;
    await app.dataSource.query(
      `INSERT INTO spark_delivery (event_id, handler, state, attempt, priority, suspect, due_at, claimed_by, started_at)
       SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n, 'elsewhere', 'running', 1, 0, 0, 0, 'dead', 0
       FROM ${digits('a')}, ${digits('b')}, ${digits('c')}, ${digits('d')}, ${digits('e')} WHERE e.n < 7`,
    );
    await app.dataSource.query(DEAD);
    await app.spark.drain();
    await vi.waitFor(async () => {
      const rows = await app.dataSource.query(
        'SELECT state, attempt, suspect, COUNT(*) AS n FROM spark_delivery GROUP BY state, attempt, suspect',
      );
      expect(rows.map((row: any) => [row.state, Number(row.attempt), Number(row.suspect), Number(row.n)])).toEqual([
        ['available', 0, 1, 70_000],
      ]);
    }, 60_000);
    await vi.waitFor(async () => expect(await leases(app)).not.toContain('dead'), 10_000);
    await app.close();
    await db.drop();
  }, 90_000);
});

const DEAD = `INSERT INTO spark_worker (id, lease_until, host, pid, started_at) VALUES ('dead', 0, 'host', 1, 0)`;
const leases = async ({ dataSource }: TestApp): Promise<string[]> =>
  (await dataSource.query('SELECT id FROM spark_worker')).map(({ id }: { id: string }) => id);

describe.each(databases)('the rescue, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let other: TestApp;
  let log: QueryLog;

  beforeEach(async () => {
    db = await database.create();
    log = new QueryLog();
    const spark = { worker: { pollInterval: '1h' as const, leaseTtl: '5s', leaseRenewal: '50ms' } };
    const dataSource = { logger: log };
    other = await startApp({ database: db, entities: [], spark: { worker: false } });
    app = await startApp({ database: db, entities: [], providers: [Handlers], spark, dataSource });
  });
  afterEach(async () => {
    await app.close();
    await other.close();
    await db.drop();
  });

  const claimed = (ids: number[]) =>
    other.dataSource.query(
      `INSERT INTO spark_delivery (event_id, handler, state, attempt, priority, suspect, due_at, claimed_by, started_at)
       VALUES ${ids.map((id) => `(${id}, 'elsewhere', 'running', 1, 0, 0, 0, 'dead', 0)`).join()}`,
    );
  const states = async () =>
    (await other.dataSource.query('SELECT state FROM spark_delivery ORDER BY event_id')).map(
      ({ state }: { state: string }) => state,
    ) as string[];
  /** The statements that look for deliveries to free. */
  const scans = () => log.statements.filter((sql) => sql.startsWith('SELECT d.id, d.suspect'));

  it('reads no deliveries while no process has died', async () => {
    const looks = () =>
      log.statements.filter((sql) => /^SELECT id FROM .*spark_worker.* WHERE lease_until </.test(sql));
    await vi.waitFor(() => expect(looks().length).toBeGreaterThan(5), 10_000);
    // The maintenance has looked for deliveries of unknown processes once.
    const before = scans().length;
    expect(before).toBeLessThanOrEqual(1);
    const seen = looks().length;
    await vi.waitFor(() => expect(looks().length).toBeGreaterThan(seen + 5), 10_000);
    expect(scans()).toHaveLength(before);
    await claimed([1]);
    await other.dataSource.query(DEAD);
    await vi.waitFor(async () => expect(await states()).toEqual(['available']), 10_000);
    expect(scans()).toHaveLength(before + 1);
  });

  it('of a delivery whose process has no row is done by the maintenance', async () => {
    await claimed([1, 2]);
    const { maintenance } = (app.spark as unknown as { spark: { maintenance: { run(): Promise<number> } } }).spark;
    await maintenance.run();
    expect(await states()).toEqual(['available', 'available']);
    expect(app.logs.filter((line) => line.includes('2 deliveries of a process that died'))).toHaveLength(1);
  });

  // SQLite has no locks of rows.
  it.skipIf(database.name === 'SQLite')('leaves what is locked, and the row of its process, for later', async () => {
    await claimed([1, 2]);
    const runner = other.dataSource.createQueryRunner();
    try {
      await runner.startTransaction('READ COMMITTED');
      await runner.query('SELECT id FROM spark_delivery WHERE event_id = 1 FOR UPDATE');
      await other.dataSource.query(DEAD);
      await vi.waitFor(async () => expect(await states()).toEqual(['running', 'available']), 10_000);
      const before = scans().length;
      await vi.waitFor(() => expect(scans().length).toBeGreaterThan(before + 2), 10_000);
      expect(await leases(other)).toContain('dead');
      await runner.rollbackTransaction();
      await vi.waitFor(async () => expect(await states()).toEqual(['available', 'available']), 10_000);
      await vi.waitFor(async () => expect(await leases(other)).not.toContain('dead'), 10_000);
    } finally {
      if (runner.isTransactionActive) await runner.rollbackTransaction();
      await runner.release();
    }
  });
});
