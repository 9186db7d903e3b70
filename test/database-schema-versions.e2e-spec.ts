import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent, type SparkEvent, sparkMigrations } from 'nestjs-spark';
import { Column, DataSource, Entity, PrimaryGeneratedColumn, type QueryRunner } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { tablesOfVersion1 } from './support/tables-of-version-1.js';

@Entity()
class Item {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}

const handled: string[] = [];

@Injectable()
class Items {
  @EventSource(Item)
  *events(item: Item) {
    yield sparkEvent('item', item.id, { item });
  }

  @GroupHandler(/^item/, { name: 'mails' })
  mail({ key, context }: SparkEvent<{ item: Item }>) {
    handled.push(`${key} ${context.item.title}`);
  }
}

const context = JSON.stringify({
  json: { item: { entity: 'Item', id: '1' } },
  meta: { values: { item: [['custom', 'entity']] }, v: 1 },
});
const TABLES = [
  'alert',
  'attempt',
  'chore',
  'condition',
  'delivery',
  'event',
  'gathered',
  'group',
  'handler',
  'limit',
  'pause',
  'recheck',
  'sweep',
  'sweep_range',
  'throttle',
  'version',
  'worker',
];
const AGENDA = 'entity, entity_id, due_at, attempt, depth';
const HANDLER = 'name, pattern, priority, revision, first_seen_at, last_seen_at';

describe.each(databases)('tables have a version, on $name', (database) => {
  let db: TestDatabase;
  let dataSource: DataSource;
  const migrations = sparkMigrations();
  const isPostgres = database.name.startsWith('PostgreSQL');

  beforeEach(async () => {
    handled.length = 0;
    db = await database.createEmpty();
    dataSource = new DataSource({ ...db.options, entities: [Item], migrations });
    await dataSource.initialize();
    await dataSource.synchronize();
  });
  afterEach(async () => {
    await dataSource.destroy();
    await db.drop();
  });

  const start = (options: object = {}) =>
    startApp({ database: db, entities: [Item], providers: [Items], dataSource: { synchronize: false, ...options } });

  const refusal = (options: object = {}) =>
    start(options).then(
      async (app) => (await app.close(), 'started'),
      (error: Error) => `${error.name}: ${error.message}`,
    );

  /** The tables of release 0.1.0, with what it left to do: a delivery, a recheck, and a handler of another process. */
  async function firstTables() {
    for (const sql of tablesOfVersion1[database.name]) await dataSource.query(sql);
    const token = database.name === 'MariaDB' ? [', token', `, ''`] : ['', ''];
    const statements = [
      `INSERT INTO item (id, title) VALUES (1, 'first'), (2, 'second')`,
      `INSERT INTO spark_handler (${HANDLER}) VALUES ('mails', '/^item/', 0, 1, 1000, ${Date.now()})`,
      `INSERT INTO spark_event (event_key, event_group, entity, entity_id, source, context, recorded_at, depth${token[0]})
        VALUES ('item_1', 'item', 'Item', '1', 'Items.events', '${context}', 1000, 0${token[1]})`,
      `INSERT INTO spark_delivery (event_id, handler, state, attempt, priority, suspect, due_at)
        SELECT id, 'mails', 'available', 0, 0, 0, 1000 FROM spark_event`,
      `INSERT INTO spark_agenda (${AGENDA}) VALUES ('Item', '2', 1000, 0, 0)`,
    ];
    for (const sql of statements) await dataSource.query(sql);
  }

  const version = async () => (await dataSource.query('SELECT version FROM spark_version')) as unknown;

  /** How PostgreSQL stores the tables. */
  async function storage() {
    if (!isPostgres) return undefined;
    const column = (rows: Record<string, string>[]) => rows.map((row) => Object.values(row)[0]);
    const key = `SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'spark_event_key%' AND indexdef LIKE '%INCLUDE%'`;
    const options = `SELECT relname || ' ' || array_to_string(reloptions, ',') FROM pg_class
      WHERE relname LIKE 'spark%' AND reloptions IS NOT NULL ORDER BY relname`;
    return { key: column(await dataSource.query(key)), options: column(await dataSource.query(options)) };
  }

  /** How many entries of the index of keys, and how many rows by it, PostgreSQL has read. */
  async function keyReads() {
    const sql = `SELECT idx_tup_read, idx_tup_fetch FROM pg_stat_user_indexes WHERE indexrelname = 'spark_event_key'`;
    const [row] = await dataSource.query(sql);
    return { entries: Number(row.idx_tup_read), rows: Number(row.idx_tup_fetch) };
  }

  it('those without one are refused by name, and nothing is changed', async () => {
    await firstTables();
    expect(await refusal()).toBe(
      `OlderTablesError: Spark's tables are of version 1, and this release of nestjs-spark needs version 13. Run the migration ` +
        `VersionSparkTables1795860000000, ExtendSparkTables1795960000000, IndexSparkQueues1796060000000, ` +
        `PartitionSparkDeliveries1796070000000, AddSparkChores1796160000000, ` +
        `ShareSparkSweeps1796250000000, StoreSparkTables1796340000000, AddSparkConditions1796430000000, AddSparkHistory1796520000000, AddSparkAlerts1796610000000, LinkSparkEvents1796700000000, AddSparkDigests1796790000000 of ...sparkMigrations(), or set synchronize: true while developing.`,
    );
    expect(await dataSource.query('SELECT * FROM spark_handler')).toHaveLength(1);
  });

  it.each(['migrations', 'synchronize'])('%s carry the rows of the first tables over', async (way) => {
    await firstTables();
    const app = await start(way === 'migrations' ? { migrations, migrationsRun: true } : { synchronize: true });
    await app.spark.drain();
    expect(handled.sort()).toEqual(['item_1 first', 'item_2 second']);
    expect(await version()).toEqual([{ version: 13 }]);
    await app.close();
  });

  it('synchronize makes at once what the migrations make one after the other', async () => {
    const tables = async () => {
      const runner = dataSource.createQueryRunner();
      const found = await runner.getTables(TABLES.map((table) => `spark_${table}`));
      await runner.release();
      const bare = (name: string) => name.split('.').at(-1)!;
      found.sort((a, b) => (bare(a.name) < bare(b.name) ? -1 : 1));
      return found.map(({ name, columns, indices }) => ({
        name: bare(name),
        columns: columns
          .map(({ name: column, type, length, charset, collation, isNullable, isPrimary, default: value }) =>
            [column, type, length, charset, collation, isNullable, isPrimary, value].join(),
          )
          .sort(),
        indices: indices
          .map(({ name: index, columnNames, isUnique }) => [index, columnNames.toSorted(), isUnique].join())
          .sort(),
      }));
    };
    await dataSource.runMigrations();
    const [migrated, stored] = [await tables(), await storage()];
    while ((await dataSource.query('SELECT * FROM migrations')).length > 0) await dataSource.undoLastMigration();
    expect(await tables()).toEqual([]);
    expect(migrated).toHaveLength(TABLES.length);
    expect(await refusal({ synchronize: true })).toBe('started');
    expect(await tables()).toEqual(migrated);
    expect(await storage()).toEqual(stored);
  });

  it.runIf(isPostgres)(
    'sweeps read known keys from their index alone, and contexts go without new index entries',
    async () => {
      await dataSource.runMigrations();
      expect(await storage()).toEqual({
        key: [
          expect.stringMatching(
            /UNIQUE INDEX spark_event_key ON .*\(event_key\) INCLUDE \(event_group, entity, entity_id\)/,
          ),
        ],
        options: expect.arrayContaining([expect.stringContaining('spark_event fillfactor=75,autovacuum_vacuum_scale')]),
      });
      await dataSource.query(`INSERT INTO item SELECT i, repeat('x', 50) FROM generate_series(1, 2000) i`);
      const app = await start();
      await app.spark.sweep({ entity: Item });
      await app.spark.drain();
      await dataSource.query('VACUUM ANALYZE spark_event');
      const before = await keyReads();
      expect(await app.spark.sweep({ entity: Item })).toMatchObject({ subjects: 2_000, entered: 0 });
      await vi.waitFor(
        async () => expect((await keyReads()).entries).toBeGreaterThanOrEqual(before.entries + 2_000),
        15_000,
      );
      expect((await keyReads()).rows).toBe(before.rows);
      await app.close();
      await dataSource.query('UPDATE spark_event SET context = NULL WHERE id <= 1000');
      await vi.waitFor(async () => {
        const [{ all, hot }] = await dataSource.query(
          `SELECT n_tup_upd AS all, n_tup_hot_upd AS hot FROM pg_stat_user_tables WHERE relname = 'spark_event'`,
        );
        expect(Number(all)).toBe(1_000);
        expect(Number(hot)).toBeGreaterThan(500);
      }, 15_000);
    },
  );

  it('goes on wherever a migration was interrupted, and by synchronize', async () => {
    await firstTables();
    const runner = dataSource.createQueryRunner();
    for (const [i, steps] of [
      [1, 3],
      [2, 3],
      [3, 1],
      [4, 3],
      [5, 2],
      [6, 3],
      [7, isPostgres ? 8 : -1],
      [8, isPostgres ? 3 : 0],
      [9, 2],
      [10, 2],
      [11, 2],
      [12, 2],
    ] as const) {
      let interrupted = 0;
      for (let at = 1; ; at++) {
        const done = await new migrations[i]!().up(interruptedAt(runner, at)).then(
          () => true,
          (error: Error) => (expect(error.message).toBe('interrupted'), false),
        );
        if (done) break;
        interrupted++;
      }
      expect(interrupted).toBeGreaterThan(steps);
      expect(await version()).toEqual([{ version: i + 1 }]);
    }
    // A start that was interrupted after the table had its new name.
    await interruptedAt(runner, Infinity).query('UPDATE spark_version SET version = 2');
    await runner.release();
    const app = await start({ synchronize: true });
    await app.spark.drain();
    expect(handled.sort()).toEqual(['item_1 first', 'item_2 second']);
    expect(await version()).toEqual([{ version: 13 }]);
    await app.close();
  });

  it('a start that died before its indexes is repaired by the next one, or refused by name', async () => {
    await dataSource.runMigrations();
    const drop = (index: string, table: string) =>
      dataSource.query(`DROP INDEX ${index}${database.name === 'MariaDB' ? ` ON ${table}` : ''}`);
    await drop('spark_event_key', 'spark_event');
    await drop('spark_delivery_partition', 'spark_delivery');
    expect(await refusal()).toMatch(
      /^IncompleteTablesError: .*spark_event lacks the unique index on \(event_key\); spark_delivery lacks the index on \(/,
    );
    expect(await refusal({ synchronize: true })).toBe('started');
    expect(await refusal()).toBe('started');
  });

  it.runIf(database.name === 'MariaDB')('an index that statements name has to have its name', async () => {
    await dataSource.runMigrations();
    await dataSource.query('ALTER TABLE spark_delivery RENAME INDEX spark_delivery_partition TO mine');
    expect(await refusal()).toMatch(/^IncompleteTablesError: .*spark_delivery lacks the index on \(/);
    expect(await refusal({ synchronize: true })).toBe('started');
    expect(await refusal()).toBe('started');
  });

  describe.runIf(isPostgres)('the index of keys', () => {
    it('is replaced in each schema of a database by itself', async () => {
      await dataSource.query('CREATE SCHEMA other');
      const elsewhere = new DataSource({ ...db.options, migrations: sparkMigrations({ schema: 'other' }) });
      await elsewhere.initialize();
      for (const one of [dataSource, elsewhere, dataSource]) {
        await one.runMigrations();
        for (const _ of [13, 12, 11, 10, 9, 8]) await one.undoLastMigration();
        await one.runMigrations();
      }
      await elsewhere.destroy();
      expect((await storage())!.key).toHaveLength(2);
      expect(await refusal()).toBe('started');
      expect(await refusal({ synchronize: true })).toBe('started');
    });

    it('may have been created before, unless it is another index', async () => {
      await dataSource.runMigrations();
      const next = async (columns: string) => {
        for (const _ of [13, 12, 11, 10, 9, 8]) await dataSource.undoLastMigration();
        await dataSource.query(`CREATE UNIQUE INDEX spark_event_key_covering ON spark_event ${columns}`);
        const oid = `SELECT 'spark_event_key_covering'::regclass::oid AS oid`;
        const [before] = await dataSource.query(oid);
        await dataSource.runMigrations();
        const [after] = await dataSource.query(oid.replace('_covering', ''));
        expect((await storage())!.key).toHaveLength(1);
        return before.oid === after.oid;
      };
      expect(await next('(event_key) INCLUDE (event_group, entity, entity_id)')).toBe(true);
      expect(await next('(event_key, event_group)')).toBe(false);
      expect(await refusal()).toBe('started');
    });
  });

  it('a column that is gone is reported at boot, and migrations that run again make it', async () => {
    await dataSource.runMigrations();
    await dataSource.query('ALTER TABLE spark_recheck DROP COLUMN taken_until');
    expect(await refusal()).toMatch(
      /^IncompleteTablesError: .*spark_recheck lacks the column taken_until\. Remove the rows of/,
    );
    await dataSource.query(`DELETE FROM migrations`);
    await dataSource.runMigrations();
    expect(await refusal()).toBe('started');
  });

  it('those of a newer release are refused, and the release is named', async () => {
    await dataSource.runMigrations();
    await dataSource.query(`UPDATE spark_version SET version = 14, needs_release = '3.1.0'`);
    for (const synchronize of [false, true])
      expect(await refusal({ synchronize })).toBe(
        `NewerTablesError: Spark's tables are of version 14, and this release of nestjs-spark supports version 13. Install ` +
          `nestjs-spark 3.1.0 or later, or undo its migrations with that release first.`,
      );
  });

  it('processes of the release before still write to them', async () => {
    await dataSource.runMigrations();
    await dataSource.query(`INSERT INTO spark_handler (${HANDLER}) VALUES ('old', '/./', 0, 1, 1000, ${Date.now()})`);
    const app = await start();
    await app.dataSource.manager.save(Item, { id: 1, title: 'saved' });
    await app.spark.drain();
    expect(handled).toEqual(['item_1 saved']);
    expect(await dataSource.query('SELECT handler FROM spark_delivery ORDER BY handler')).toEqual([
      { handler: 'mails' },
      { handler: 'old' },
    ]);
    await app.close();
  });

  it.skipIf(database.name === 'SQLite')('they find the rechecks under their former name', async () => {
    await firstTables();
    await dataSource.runMigrations();
    await dataSource.query(`INSERT INTO spark_agenda (${AGENDA}) VALUES ('Item', '1', 500, 0, 0)`);
    await dataSource.transaction(async (manager) => {
      const due: { id: string }[] = await manager.query(
        `SELECT entity, entity_id, due_at, attempt, depth, id FROM spark_agenda WHERE due_at <= 2000 AND entity IN ('Item')
         AND taken_until IS NULL ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED`,
      );
      expect(due).toMatchObject([{ entity_id: '1' }]);
      await manager.query(`UPDATE spark_agenda SET taken_by = 'old', taken_until = 9000 WHERE id IN (${due[0]!.id})`);
      await manager.query(`DELETE FROM spark_agenda WHERE id IN (${due[0]!.id}) AND taken_by = 'old'`);
    });
    expect(await dataSource.query('SELECT entity_id FROM spark_recheck')).toEqual([{ entity_id: '2' }]);
  });

  /** The indexes of due deliveries. */
  const indexes = async () => {
    const runner = dataSource.createQueryRunner();
    const { indices } = (await runner.getTable('spark_delivery'))!;
    await runner.release();
    return indices
      .map(({ name }) => name!)
      .filter((name) => /due|queue|partition/.test(name))
      .sort();
  };

  it('claims have an index by handler, and those of the previous release keep theirs where they lock all without', async () => {
    await firstTables();
    await dataSource.runMigrations();
    const kept = database.name === 'MariaDB' ? ['spark_delivery_due'] : [];
    expect(await indexes()).toEqual([...kept, 'spark_delivery_partition']);
  });

  it('going back leaves the first tables, with one row a handler', async () => {
    await firstTables();
    await dataSource.runMigrations();
    await dataSource.query(
      `INSERT INTO spark_handler (${HANDLER}, version) VALUES ('mails', '/new/', 0, 1, 1000, ${Date.now() + 5000}, 'b')`,
    );
    await dataSource.undoLastMigration();
    expect(await version()).toEqual([{ version: 12 }]);
    for (const table of ['spark_gathered', 'spark_throttle'])
      await expect(dataSource.query(`SELECT * FROM ${table}`)).rejects.toThrow(table);
    await dataSource.undoLastMigration();
    expect(await version()).toEqual([{ version: 11 }]);
    for (const table of ['spark_event', 'spark_recheck'])
      await expect(dataSource.query(`SELECT caused_by FROM ${table}`)).rejects.toThrow('caused_by');
    await dataSource.undoLastMigration();
    expect(await version()).toEqual([{ version: 10 }]);
    await expect(dataSource.query('SELECT * FROM spark_alert')).rejects.toThrow('spark_alert');
    await expect(dataSource.query('SELECT judged_missed FROM spark_sweep')).rejects.toThrow('judged_missed');
    await dataSource.undoLastMigration();
    expect(await version()).toEqual([{ version: 9 }]);
    await expect(dataSource.query('SELECT code FROM spark_sweep')).rejects.toThrow('code');
    await expect(dataSource.query('SELECT is_past FROM spark_condition')).rejects.toThrow('is_past');
    await dataSource.undoLastMigration();
    expect(await version()).toEqual([{ version: 8 }]);
    await expect(dataSource.query('SELECT * FROM spark_condition')).rejects.toThrow('spark_condition');
    await dataSource.undoLastMigration();
    expect(await version()).toEqual([{ version: 7 }]);
    expect(await storage()).toEqual(isPostgres ? { key: [], options: [] } : undefined);
    await dataSource.undoLastMigration();
    expect(await version()).toEqual([{ version: 6 }]);
    await expect(dataSource.query('SELECT * FROM spark_sweep_range')).rejects.toThrow('spark_sweep_range');
    await dataSource.undoLastMigration();
    expect(await version()).toEqual([{ version: 5 }]);
    await expect(dataSource.query('SELECT channel FROM spark_worker')).rejects.toThrow('channel');
    await expect(dataSource.query('SELECT * FROM spark_chore')).rejects.toThrow('spark_chore');
    await dataSource.undoLastMigration();
    expect(await version()).toEqual([{ version: 4 }]);
    expect(await indexes()).toContain('spark_delivery_queue');
    expect(await indexes()).not.toContain('spark_delivery_partition');
    await dataSource.undoLastMigration();
    expect(await version()).toEqual([{ version: 3 }]);
    expect(await indexes()).toEqual(['spark_delivery_due']);
    await dataSource.undoLastMigration();
    expect(await version()).toEqual([{ version: 2 }]);
    expect(await dataSource.query('SELECT entity_id FROM spark_agenda')).toEqual([{ entity_id: '2' }]);
    await dataSource.undoLastMigration();
    expect(await dataSource.query('SELECT * FROM spark_handler')).toMatchObject([{ name: 'mails', pattern: '/new/' }]);
    expect(await refusal()).toMatch(/^OlderTablesError/);
    await dataSource.runMigrations();
    expect(await refusal()).toBe('started');
  });

  it('a schema that does not exist is named, and unknown options are refused', async () => {
    if (database.name !== 'SQLite') {
      const elsewhere = new DataSource({ ...db.options, migrations: sparkMigrations({ schema: 'nowhere' }) });
      await elsewhere.initialize();
      await expect(elsewhere.runMigrations()).rejects.toThrow(
        /^The schema nowhere, where Spark's tables belong, does not exist\. Create it \(CREATE (SCHEMA "|DATABASE `)nowhere/,
      );
      await elsewhere.destroy();
    }
    expect(() => sparkMigrations({ prefix: 'x' } as never)).toThrow(
      'the option prefix of sparkMigrations is unknown. Expected: one of tablePrefix, schema.',
    );
    expect(() => sparkMigrations({ schema: 'a.b' })).toThrow(/schema is 'a\.b'\. Expected/);
  });
});

/** A query runner on which the statement that changes something for the nth time fails. */
function interruptedAt(runner: QueryRunner, nth: number): QueryRunner {
  let changes = 0;
  const { query } = Object.getPrototypeOf(runner) as QueryRunner;
  runner.query = function (this: QueryRunner, sql: string, ...rest: never[]) {
    if (/^\s*(CREATE|ALTER|DROP|INSERT|DELETE|UPDATE)/.test(sql) && ++changes === nth)
      return Promise.reject(new Error('interrupted'));
    return (query as (...given: unknown[]) => Promise<never>).call(this, sql, ...rest);
  } as QueryRunner['query'];
  return runner;
}
