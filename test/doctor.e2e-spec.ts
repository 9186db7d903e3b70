import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent } from 'nestjs-spark';
import { TestClock } from 'nestjs-spark/testing';
import { join } from 'node:path';
import { Column, DataSource, type DataSourceOptions, Entity, PrimaryColumn, type QueryRunner } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { examine } from '../libs/spark/src/cli/doctor/examine.js';
import { Patient } from '../libs/spark/src/cli/doctor/patient.js';
import { SystemClock } from '../libs/spark/src/common/clock.js';
import { settingsOf } from '../libs/spark/src/config/spark.settings.js';
import type { DatabaseFacts } from '../libs/spark/src/database/facts.js';
import { createSpark, type Spark } from '../libs/spark/src/runtime/create-spark.js';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Order {
  @PrimaryColumn() id: number;
  @Column() state: string;
}

@Injectable()
class Shop {
  @EventSource(Order, { name: 'orders' }) *orders({ id }: Order) {
    yield sparkEvent('order_placed', id);
  }
  @GroupHandler(/^order/, { name: 'mails' }) mail() {}
}

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

describe.each(databases)('the doctor, on $name', ({ name, create, createEmpty }) => {
  let db: TestDatabase;
  let app: TestApp;
  let dataSource: DataSource;
  /** Another process, as `spark doctor -d` is one: it has no sources and handlers. */
  let outside: Spark;

  beforeAll(async () => {
    db = await create();
    app = await startApp({ database: db, entities: [Order], providers: [Shop], clock: new TestClock(new Date()) });
    await app.dataSource.manager.save(Order, { id: 1, state: 'paid' });
    await app.spark.sweep();
    dataSource = await new DataSource(db.options).initialize();
    outside = createSpark(dataSource, settingsOf({}), new SystemClock());
  });
  afterAll(async () => {
    await dataSource.destroy();
    await app.close();
    await db.drop();
  });

  const parts = () => (app.spark as unknown as { spark: Spark }).spark;
  /** What is found that is not ok, as `check status`, and in words; without a server that has autovacuum off, as some have for tests. */
  const findings = async (patient = new Patient(outside, undefined)) => {
    const { findings: all, leftOut } = await examine(patient);
    const off = all.filter(({ status, found }) => status !== 'ok' && found !== 'Autovacuum is off on this server.');
    return { leftOut, off: off.map(({ check, status }) => `${check} ${status}`), found: off.map(({ found }) => found) };
  };
  const query = (sql: string) => app.dataSource.query(sql) as Promise<unknown>;
  const seen = (before: number) => query(`UPDATE spark_handler SET last_seen_at = ${Date.now() - before}`);
  const facts = <T>(read: (facts: DatabaseFacts, runner: QueryRunner) => Promise<T>) =>
    new Patient(outside, undefined).reading((runner) => read(new Patient(outside, undefined).facts, runner));
  // Nothing handles deliveries here.
  const USUAL = 'processes warning';

  it('finds nothing off where all is well, and leaves out what only an application tells', async () => {
    expect(await findings()).toMatchObject({ off: [USUAL], leftOut: ['pool', 'shutdown'] });
    const own = new Patient(parts(), { moduleFile: join(import.meta.dirname, 'doctor.e2e-spec.ts'), listens: true });
    expect((await findings(own)).leftOut).toEqual([]);
  });

  it('names handlers that are gone and still get deliveries, deliveries that wait for such, and no handler that was removed long ago', async () => {
    await seen(10 * MINUTE);
    const { off, found } = await findings();
    expect(off).toEqual([USUAL, 'handlers warning', 'orphans error']);
    expect(found[1]).toMatch(/^No process has these handlers, the last one since \S+Z: mails\. /);
    expect(found[2]).toMatch(/^1 delivery of mails waits since \S+Z, and no process has this handler since \S+Z\.$/);
    // The application itself has the handler.
    expect((await findings(new Patient(parts(), undefined))).off).toEqual([USUAL]);
    await seen(8 * DAY);
    await query('DELETE FROM spark_delivery');
    expect((await findings()).off).toEqual([USUAL]);
    await seen(0);
  });

  it('tells what is paused, held, discarded or left, as warnings', async () => {
    await app.spark.emit(sparkEvent('order_held', 1));
    await query(`UPDATE spark_delivery SET state = 'held'`);
    await app.spark.emit(sparkEvent('order_failed', 1));
    const discarded = `state = 'discarded', finished_at = ${Date.now()}, last_error = 'no answer'`;
    await query(`UPDATE spark_delivery SET ${discarded} WHERE state = 'available'`);
    await app.spark.pauseHandler('mails');
    await app.spark.pauseSweep('orders');
    const { off, found } = await findings();
    expect(off).toEqual([USUAL, 'deliveries warning', 'deliveries warning', 'pauses warning', 'pauses warning']);
    expect(found.slice(1)).toEqual([
      expect.stringMatching(/^1 delivery of the group order_held is held since \S+Z\.$/),
      'Deliveries were discarded within an hour: mails (1).',
      expect.stringMatching(/^The handler mails is paused since \S+Z\.$/),
      expect.stringMatching(/^Sweeps of the source orders are paused since \S+Z\.$/),
    ]);
    await app.spark.resumeHandler('mails');
    await app.spark.resumeSweep('orders');
    await query(`DELETE FROM spark_delivery`);
    await query(`UPDATE spark_sweep SET began_at = 1000, holder = NULL`);
    const left = await findings();
    expect(left.off).toEqual([USUAL, 'sweeps warning']);
    expect(left.found[1]).toContain('orders, begun at 1970-01-01T00:00:01Z');
    await query(`UPDATE spark_sweep SET began_at = NULL`);
  });

  it('finds times of other processes that lie ahead of the database, or behind', async () => {
    await query(`UPDATE spark_event SET recorded_at = recorded_at + ${60 * MINUTE}`);
    expect((await findings()).off).toEqual(['clocks error', USUAL]);
    await query(`UPDATE spark_event SET recorded_at = recorded_at - ${60 * MINUTE}`);
    const until = Date.now() + DAY;
    await query(
      `INSERT INTO spark_worker (id, lease_until, host, pid, started_at) VALUES ('w', ${until}, 'h', 1, ${Date.now()})`,
    );
    expect((await findings()).off).toEqual([]);
    await seen(4 * MINUTE);
    const { off, found } = await findings();
    expect(off).toEqual(['clocks error']);
    expect(found[0]).toMatch(/^Processes work, but the last one that registered its handlers did so 4 min ago/);
    await query(`DELETE FROM spark_worker`);
    await seen(0);
  });

  it('a check that fails is a finding, and the others go on', async () => {
    const patient = new Patient(outside, undefined);
    patient.health = () => Promise.reject(new Error('canceled by an administrator'));
    const { off, found } = await findings(patient);
    expect(off).toEqual(['processes error', 'orphans error', 'deliveries error', 'pauses error']);
    expect(found[0]).toContain('canceled by an administrator');
  });

  it.skipIf(name === 'SQLite')('reads the isolation that transactions have by default', async () => {
    const level = (session: string) =>
      facts(async (read, runner) => {
        await runner.query(session);
        const found = await read.isolation!(runner);
        await runner.query(session.replace(/SERIALIZABLE|READ UNCOMMITTED/, 'READ COMMITTED'));
        return found;
      });
    const of = 'SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL';
    const set = name === 'PostgreSQL' ? of : 'SET SESSION TRANSACTION ISOLATION LEVEL';
    const dirty = name === 'MariaDB';
    expect(await level(`${set} SERIALIZABLE`)).toMatchObject({ level: 'SERIALIZABLE', collides: true });
    expect(await level(`${set} READ UNCOMMITTED`)).toMatchObject({ collides: false, seesUncommitted: dirty });
    expect(await level(`${set} READ COMMITTED`)).toEqual({
      level: 'READ COMMITTED',
      collides: false,
      seesUncommitted: false,
      refusesReadCommitted: false,
    });
    const named = new DataSource({ ...db.options, isolationLevel: 'SERIALIZABLE' });
    const runner = (await named.initialize()).createQueryRunner();
    const { facts: read } = new Patient(outside, undefined);
    expect(await read.isolation!(runner)).toMatchObject({ level: 'SERIALIZABLE', collides: true });
    await runner.release();
    await named.destroy();
  });

  it.skipIf(name === 'SQLite')('finds a transaction that is open and has locked rows or tables', async () => {
    const holder = dataSource.createQueryRunner();
    await holder.startTransaction();
    await holder.query(`UPDATE spark_handler SET priority = priority`);
    const open = (olderThan: number) => facts((read, runner) => read.openTransactions!(runner, olderThan));
    const tables = name === 'PostgreSQL' ? ['spark_handler'] : [];
    // MariaDB does not refresh its list while it is read more often than every tenth of a second.
    const patiently = { interval: 200, timeout: 10_000 };
    await vi.waitFor(async () => expect(await open(0)).toMatchObject([{ tables, age: expect.any(Number) }]), patiently);
    expect(await open(5 * MINUTE)).toEqual([]);
    await holder.rollbackTransaction();
    await holder.release();
    await vi.waitFor(async () => expect(await open(0)).toEqual([]), patiently);
  });

  it.runIf(name === 'PostgreSQL')('finds that autovacuum is off, and counts dead rows', async () => {
    await query('ALTER TABLE spark_recheck SET (autovacuum_enabled = no)');
    const { off, found } = await findings();
    expect(off).toEqual(['autovacuum error', USUAL]);
    expect(found[0]).toBe('Autovacuum is off for spark_recheck.');
    const vacuumed = async () => {
      const { tables } = await facts((read, runner) => read.vacuum!(runner));
      return tables.find(({ table }) => table === 'spark_recheck')!;
    };
    await facts(async (_, runner) => {
      const row = `INSERT INTO spark_recheck (entity, entity_id, due_at, attempt, depth)`;
      await runner.query(`${row} SELECT 'x', n, 0, 0, 0 FROM generate_series(1, 20) n`);
      await runner.query(`DELETE FROM spark_recheck WHERE entity = 'x'`);
      await runner.query('SELECT pg_stat_force_next_flush()');
      await runner.query('SELECT 1');
    });
    // A server that is busy counts them when the connection has been idle for 10 s.
    await vi.waitFor(async () => expect((await vacuumed()).deadRows).toBeGreaterThanOrEqual(20), 20_000);
    // The tables begin early, as version 8 has set them.
    expect((await vacuumed()).beginsAt).toBeGreaterThanOrEqual(1_000);
    await query('ALTER TABLE spark_recheck RESET (autovacuum_enabled)');
    expect((await findings()).off).toEqual([USUAL]);
  });

  it.runIf(name === 'MariaDB')('finds a connection and columns that cannot hold all texts', async () => {
    const connection = await facts(async (read, runner) => {
      await runner.query('SET NAMES latin1');
      const { connection: found } = await read.charsets!(runner);
      await runner.query('SET NAMES utf8mb4');
      return found;
    });
    expect(connection).toEqual(['latin1']);
    const group = (rest: string) => query(`ALTER TABLE spark_event MODIFY event_group varchar(100) ${rest} NOT NULL`);
    await group('CHARACTER SET utf8mb3');
    await query('ALTER TABLE spark_pause CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci');
    const { off, found } = await findings();
    expect(off).toEqual(['charsets error', USUAL]);
    expect(found[0]).toMatch(/spark_event\.event_group is utf8mb3_\w+, not utf8mb4_nopad_bin/);
    expect(found[0]).toContain('spark_pause.handler is utf8mb4_general_ci, not utf8mb4_nopad_bin');
    await group('CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin');
    await query('ALTER TABLE spark_pause CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin');
    expect((await findings()).off).toEqual([USUAL]);
  });

  it.runIf(name === 'SQLite')('reads how a file is written, and changes nothing of it', async () => {
    const { database } = db.options as { database: string };
    const other = new DataSource({ ...db.options, database: `${database}-other` } as DataSourceOptions);
    const runner = (await other.initialize()).createQueryRunner();
    const { facts: read } = new Patient(outside, undefined);
    expect(await read.journal!(runner)).toEqual({ mode: 'delete', busyTimeout: 5_000 });
    expect(await read.journal!(runner)).toMatchObject({ mode: 'delete' });
    await other.destroy();
    expect(await facts((known, own) => known.journal!(own))).toMatchObject({ mode: 'wal' });
  });

  it('finds indexes that are missing or not used, and leaves out the checks that read rows', async () => {
    if (name === 'PostgreSQL')
      await query(`UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'spark_recheck_due'::regclass`);
    if (name === 'MariaDB') await query('ALTER TABLE spark_recheck ALTER INDEX spark_recheck_due IGNORED');
    if (name !== 'SQLite') {
      const { findings: all } = await examine(new Patient(outside, undefined));
      const repairs = all.filter(({ check, status }) => check === 'indexes' && status === 'error');
      expect(repairs).toMatchObject([{ advice: expect.stringMatching(REPAIR[name]) }]);
    }
    await query(`DROP INDEX spark_delivery_running${name === 'MariaDB' ? ' ON spark_delivery' : ''}`);
    const { off, leftOut } = await findings();
    expect(off[0]).toBe('tables error');
    expect(leftOut).toEqual(
      expect.arrayContaining(['clocks', 'processes', 'handlers', 'orphans', 'deliveries', 'sweeps']),
    );
  });

  it('examines a database that has no tables of Spark, or those of a newer release', async () => {
    const empty = await createEmpty();
    const elsewhere = await new DataSource(empty.options).initialize();
    const patient = () => new Patient(createSpark(elsewhere, settingsOf({}), new SystemClock()), undefined);
    const { off, found, leftOut } = await findings(patient());
    expect(off.filter((line) => line.endsWith('error'))).toEqual(['tables error']);
    expect(found[0]).toMatch(/^There are no tables of Spark/);
    expect(leftOut).toContain('clocks');
    await query('UPDATE spark_version SET version = 1000');
    const newer = await findings();
    expect(newer.off[0]).toBe('tables error');
    expect(newer.found[0]).toMatch(/1000/);
    await elsewhere.destroy();
    await empty.drop();
  });
});

const REPAIR = {
  PostgreSQL: /DROP INDEX "spark_recheck_due"\./,
  MariaDB: /ALTER INDEX `spark_recheck_due` NOT IGNORED\./,
};
