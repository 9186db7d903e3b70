import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import { EventSource, sparkEvent } from 'nestjs-spark';
import { Column, Entity, PrimaryColumn, Repository } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Fast {
  @PrimaryColumn() id: number;
}

@Entity()
class Slow {
  @PrimaryColumn() id: number;
  @Column() how: string;
}

@Entity()
class Batched {
  @PrimaryColumn() id: number;
  @Column() how: string;
}

/** Calls that wait for ever, until the test lets them go on. */
const hanging: (() => void)[] = [];
const forEver = () => new Promise<void>((resolve) => hanging.push(resolve));

@Injectable()
class Sources {
  constructor(@InjectRepository(Fast) private readonly fast: Repository<Fast>) {}

  // It reads by a repository, which needs a connection.
  @EventSource(Fast, { name: 'fast' })
  async ofFast({ id }: Fast) {
    return (await this.fast.existsBy({ id })) ? [sparkEvent('fast', id)] : [];
  }

  @EventSource(Slow, { name: 'slow', timeout: 200 })
  async ofSlow({ id, how }: Slow) {
    if (how === 'hangs') await forEver();
    if (how === 'slow') await delay(10);
    return [sparkEvent('slow', id)];
  }

  @EventSource(Slow, { name: 'slow steps', timeout: 200 })
  async *stepsOfSlow({ id, how }: Slow) {
    yield sparkEvent('first', id);
    if (how === 'hangs') await forEver();
    yield sparkEvent('second', id);
  }

  @EventSource(Batched, { batch: true, name: 'batch', timeout: 500 })
  async batch(all: Batched[]) {
    const poison = all.find(({ how }) => how === 'poison');
    if (poison) throw new Error(`${poison.id} is poison`);
    if (all.some(({ how }) => how === 'hangs')) await forEver();
    return all.map(({ id }) => sparkEvent('batch', id));
  }
}

describe.each(databases)('a source that waits holds nobody up, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let other: TestApp | undefined;

  const start = (poolSize?: number) =>
    startApp({
      database: db,
      entities: [Fast, Slow, Batched],
      imports: [TypeOrmModule.forFeature([Fast])],
      providers: [Sources],
      spark: { worker: { leaseTtl: '3s', pollInterval: '200ms' } },
      dataSource: poolSize === undefined ? {} : { poolSize },
    });
  beforeAll(async () => {
    db = await database.create();
    app = await start();
  });
  afterAll(async () => {
    hanging.splice(0).forEach((end) => end());
    await app.close();
    await db.drop();
  });

  const keys = async (group: string, on = app): Promise<number[]> => {
    const rows: { entity_id: string }[] = await on.dataSource.query(
      `SELECT entity_id FROM spark_event WHERE event_group = '${group}'`,
    );
    return rows.map((row) => Number(row.entity_id)).sort((a, b) => a - b);
  };
  const until = (work: () => Promise<unknown>) => vi.waitFor(work, { timeout: 25_000, interval: 50 });
  const rechecksLeft = async () => Number((await app.dataSource.query('SELECT COUNT(*) AS n FROM spark_recheck'))[0].n);

  it('a source that hangs fails by itself, with its name; others of its entity and other entities go on', async () => {
    await app.dataSource.manager.save(Slow, [
      { id: 1, how: 'hangs' },
      { id: 2, how: 'slow' },
    ]);
    await app.dataSource.manager.save(Fast, { id: 1 });
    await until(async () => expect(await keys('fast')).toEqual([1]));
    await until(async () => expect(await keys('slow')).toEqual([2]));
    expect(await keys('second')).toEqual([2]);
    await until(async () => expect(app.logs.join('\n')).toContain('slow has not ended within 200 ms'));
    expect(app.logs.join('\n')).toMatch(/slow failed for Slow 1, attempt 1.*rechecks this entity/);
    // It is tried again, later and later; what comes late is ignored.
    const rechecks: { attempt: number }[] = await app.dataSource.query('SELECT attempt FROM spark_recheck');
    expect(rechecks.length).toBeGreaterThan(0);
    expect(rechecks.every(({ attempt }) => Number(attempt) > 0)).toBe(true);
    hanging.splice(0).forEach((end) => end());
    await delay(50);
    expect(await keys('slow')).toEqual([2]);
    // Once it ends in time, all is well.
    await app.dataSource.manager.save(Slow, { id: 1, how: 'slow' });
    await until(async () => expect(await keys('slow')).toEqual([1, 2]));
  });

  it('while one process waits for a source, a second one works on, on the same entity too', async () => {
    other = await start();
    try {
      await app.dataSource.manager.save(Slow, { id: 11, how: 'hangs' });
      await until(async () => expect(hanging.length).toBeGreaterThan(0));
      await other.dataSource.manager.save(Slow, { id: 12, how: 'slow' });
      await other.spark.drain();
      expect(await keys('slow')).toContain(12);
    } finally {
      hanging.splice(0).forEach((end) => end());
      await other.close();
    }
  });

  it('one row that a batch source throws at leaves the other 99 alone, live and in a sweep', async () => {
    const rows = (from: number) =>
      Array.from({ length: 100 }, (_, i) => ({ id: from + i, how: i === 41 ? 'poison' : 'good' }));
    const good = (from: number) => rows(from).flatMap(({ id, how }) => (how === 'good' ? [id] : []));
    await app.dataSource.manager.save(Batched, rows(1));
    await app.spark.drain();
    expect(await keys('batch')).toEqual(good(1));
    const values = rows(1_001).map(({ id, how }) => `(${id}, '${how}')`);
    await app.dataSource.query(`INSERT INTO batched (id, how) VALUES ${values.join()}`);
    const { failed } = await app.spark.sweep({ entity: Batched });
    expect(failed).toBe(2);
    expect(await keys('batch')).toEqual([...good(1), ...good(1_001)]);
    // Nest has one logger a process.
    expect([app, other].flatMap((one) => one?.logs ?? []).join('\n')).toContain('batch failed for Batched 42');
  });

  it('a source that never answers in a sweep gives its lease up, and its rows are entered once it answers', async () => {
    const values = Array.from({ length: 20 }, (_, i) => `(${2_001 + i}, 'hangs')`);
    await app.dataSource.query(`INSERT INTO slow (id, how) VALUES ${values.join()}`);
    await app.dataSource.query('INSERT INTO fast (id) VALUES (2001)');
    const began = Date.now();
    const report = await app.spark.sweep();
    expect(report.failed).toBeGreaterThan(0);
    const sweptNow = `SELECT source FROM spark_sweep WHERE source LIKE 'slow%' AND finished_at >= ${began}`;
    expect(await app.dataSource.query(sweptNow)).toEqual([]);
    expect(await keys('fast')).toContain(2_001);
    hanging.splice(0).forEach((end) => end());
    const [{ held }] = await app.dataSource.query(
      `SELECT COUNT(*) AS held FROM spark_sweep WHERE holder IS NOT NULL AND source LIKE 'slow%'`,
    );
    expect(Number(held)).toBe(0);
    await app.dataSource.query(`UPDATE slow SET how = 'quick'`);
    await app.spark.sweep();
    expect(await keys('slow')).toContain(2_020);
  });

  // SQLite has one connection always.
  it('with a pool of one connection a source may read by a repository', async () => {
    const small = await start(1);
    try {
      await small.dataSource.manager.save(Fast, { id: 31 });
      await until(async () => {
        await small.spark.drain();
        expect(await keys('fast', small)).toContain(31);
      });
      await small.dataSource.query('INSERT INTO fast (id) VALUES (32)');
      await small.spark.sweep();
      expect(await keys('fast', small)).toContain(32);
      expect((await small.spark.explain(Fast, 31)).sources[0]!.error).toBeUndefined();
      for await (const planned of small.spark.plan({ entity: Fast, id: 31 })) expect(planned).toBeUndefined();
    } finally {
      await small.close();
    }
  });

  it('what a process had taken when it died is taken by another one after a while', async () => {
    await app.dataSource.manager.save(Fast, { id: 40 });
    await until(async () => expect(await keys('fast')).toContain(40));
    await app.spark.drain();
    const clock = {
      SQLite: `CAST((julianday('now') - 2440587.5) * 86400000 AS integer)`,
      PostgreSQL: 'CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)',
      MariaDB: `CAST(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) / 1000 AS signed)`,
    }[database.name];
    await app.dataSource.query('INSERT INTO fast (id) VALUES (41)');
    await app.dataSource.query(
      `INSERT INTO spark_recheck (entity, entity_id, due_at, attempt, depth, taken_by, taken_until)
       SELECT MAX(entity), '41', 1, 0, 0, 'who died', ${clock} + 1500 FROM spark_event WHERE event_group = 'fast'`,
    );
    await app.spark.drain();
    expect(await keys('fast')).not.toContain(41);
    await vi.waitFor(async () => {
      await app.spark.drain();
      expect(await keys('fast')).toContain(41);
    }, 25_000);
    expect(await rechecksLeft()).toBeGreaterThanOrEqual(0);
  });

  it.runIf(database.name !== 'SQLite')('a table that somebody has locked holds up no other', async () => {
    const { dataSource } = app;
    const runner = dataSource.createQueryRunner();
    const isPostgres = database.name === 'PostgreSQL';
    const lock = isPostgres ? 'LOCK TABLE batched IN ACCESS EXCLUSIVE MODE' : 'LOCK TABLES batched WRITE';
    await dataSource.manager.save(Batched, { id: 5_001, how: 'good' });
    await app.spark.drain();
    const again = (name: string, id: number) =>
      dataSource.query(`INSERT INTO spark_recheck (entity, entity_id, due_at, attempt, depth)
        SELECT MAX(entity), '${id}', ${Date.now()}, 0, 0 FROM spark_event WHERE event_group = '${name}'`);
    await dataSource.query('INSERT INTO fast (id) VALUES (51)');
    await dataSource.query(`INSERT INTO batched (id, how) VALUES (5002, 'good')`);
    if (isPostgres) await runner.startTransaction();
    await runner.query(lock);
    try {
      await again('batch', 5_002);
      await again('fast', 51);
      await until(async () => expect(await keys('fast')).toContain(51));
      expect(await keys('batch')).not.toContain(5_002);
    } finally {
      if (isPostgres) await runner.rollbackTransaction();
      else await runner.query('UNLOCK TABLES');
      await runner.release();
    }
    await until(async () => expect(await keys('batch')).toContain(5_002));
  });

  it.runIf(database.name === 'PostgreSQL')('slow rechecks need no long transaction', async () => {
    const strict = await startApp({
      database: db,
      entities: [Fast, Slow, Batched],
      imports: [TypeOrmModule.forFeature([Fast])],
      providers: [Sources],
      dataSource: { extra: { idle_in_transaction_session_timeout: 500 } },
    });
    try {
      const rows = Array.from({ length: 150 }, (_, i) => ({ id: 6_000 + i, how: 'slow' }));
      await strict.dataSource.manager.save(Slow, rows);
      const ids = rows.map(({ id }) => id);
      await until(async () => expect((await keys('slow')).filter((id) => id >= 6_000)).toEqual(ids));
    } finally {
      await strict.close();
    }
  });
});
