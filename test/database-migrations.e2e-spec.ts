import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent, sparkMigrations } from 'nestjs-spark';
import { Column, DataSource, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Item {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}

@Injectable()
class Events {
  @EventSource(Item)
  *items({ id }: Item) {
    yield sparkEvent('item', id);
  }
}

const tablePrefix = 'shop_';
const migrations = sparkMigrations({ tablePrefix });
const tables = [
  'shop_event',
  'shop_delivery',
  'shop_recheck',
  'shop_handler',
  'shop_worker',
  'shop_sweep',
  'shop_group',
  'shop_attempt',
  'shop_pause',
  'shop_limit',
  'shop_chore',
  'shop_sweep_range',
  'shop_condition',
  'shop_alert',
  'shop_gathered',
  'shop_throttle',
  'shop_version',
];

describe.each(databases)('migrations make the tables, on $name', (database) => {
  let db: TestDatabase;
  let dataSource: DataSource;

  /** A DataSource with the application's own table and Spark's migrations, none of which has run. */
  beforeEach(async () => {
    db = await database.createEmpty();
    dataSource = new DataSource({ ...db.options, entities: [Item], migrations });
    await dataSource.initialize();
    await dataSource.synchronize();
  });
  afterEach(async () => {
    await dataSource.destroy();
    await db.drop();
  });

  const start = (options: object) =>
    startApp({
      database: db,
      entities: [Item],
      providers: [Events],
      spark: { tablePrefix },
      dataSource: { synchronize: false, ...options },
    });

  async function present(): Promise<string[]> {
    const runner = dataSource.createQueryRunner();
    const found: string[] = [];
    for (const table of tables) if (await runner.hasTable(table)) found.push(table);
    await runner.release();
    return found;
  }

  /** What a table of Spark consists of, whatever its prefix. */
  async function shape(prefix: string, table: string) {
    const runner = dataSource.createQueryRunner();
    const { columns, indices } = (await runner.getTable(prefix + table))!;
    await runner.release();
    return {
      columns: columns.map(({ name, type, length, isNullable, isPrimary, collation }) => {
        return { name, type, length, isNullable, isPrimary, collation };
      }),
      indices: indices
        .map(({ name, columnNames, isUnique, where }) => {
          return { name: name!.slice(prefix.length), columnNames: [...columnNames].sort(), isUnique, where };
        })
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    };
  }

  it('without them the application does not start, and says what to add', async () => {
    const error = await start({}).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      name: 'MissingTablesError',
      message:
        `The tables ${tables.slice(0, -1).join(', ')} are missing. Add ...sparkMigrations({ tablePrefix: 'shop_' }) to the migrations of ` +
        `the DataSource and run them, or set synchronize: true while developing.`,
    });
  });

  it('with them it starts, once and again, and knows what it knew', async () => {
    for (const news of [['item_1'], []]) {
      const app = await start({ migrations, migrationsRun: true });
      const entered: string[] = [];
      app.spark.events$.subscribe(({ key }) => entered.push(key));
      await app.dataSource.manager.save(Item, { id: 1, title: `then ${news.length}` });
      await app.spark.drain();
      await app.spark.sweep();
      expect(entered).toEqual(news);
      await app.close();
    }
  });

  it('they leave tables alone that are there', async () => {
    await dataSource.runMigrations();
    await dataSource.query(
      `INSERT INTO shop_handler (name, pattern, priority, revision, first_seen_at, last_seen_at) VALUES ('mails', '/./', 0, 1, 0, 0)`,
    );
    const runner = dataSource.createQueryRunner();
    for (const Migration of migrations) await new Migration().up(runner);
    await runner.release();
    expect(await dataSource.query('SELECT name FROM shop_handler')).toEqual([{ name: 'mails' }]);
  });

  it('they can be reverted, and run again', async () => {
    await dataSource.runMigrations();
    expect(await present()).toEqual(tables);
    for (const _ of migrations) await dataSource.undoLastMigration();
    expect(await present()).toEqual([]);
    await dataSource.runMigrations();
    expect(await present()).toEqual(tables);
  });

  it('they make what `synchronize` makes', async () => {
    await dataSource.runMigrations();
    const app = await startApp({ database: db, entities: [Item] });
    for (const table of tables.map((name) => name.slice('shop_'.length))) {
      const made = await shape('shop_', table);
      expect(made.columns.length).toBeGreaterThan(1);
      expect(made).toEqual(await shape('spark_', table));
    }
    await app.close();
  });
});
