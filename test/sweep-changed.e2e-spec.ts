import { Injectable } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import { EventSource, type SourceScope, sparkEvent, type SparkModuleOptions } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { Column, Entity, ManyToOne, PrimaryColumn, Raw, type Relation, VirtualColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Item {
  @PrimaryColumn() id: number;
  @Column() state: string;
}

@Entity()
class Part {
  @PrimaryColumn() id: number;
  @ManyToOne(() => Item) item: Relation<Item>;
}

@Entity()
class Counted {
  @PrimaryColumn() id: number;
  @VirtualColumn({ query: (alias) => `SELECT COUNT(*) FROM item WHERE id > ${alias}.id` }) more: string;
}

/** What else the source of items does in this process. */
let also = (_item: Item, _scope: SourceScope): object | void => {};

@Injectable()
class Items {
  @EventSource(Item, { name: 'items' })
  *items(item: Item, scope: SourceScope) {
    const options = this.also(item, scope) ?? {};
    yield sparkEvent('item', `${item.id}-${item.state}`, undefined, options);
  }

  private also(...given: [Item, SourceScope]) {
    return also(...given);
  }
}

/** Sources of which a sweep never passes over rows. */
@Injectable()
class Others {
  @EventSource(Part, { name: 'relations', relations: { item: true } })
  relations({ id }: Part) {
    return [sparkEvent('part', id)];
  }

  @EventSource(Item, { name: 'batch', batch: true })
  batch(items: Item[]) {
    return items.map(({ id }) => sparkEvent('batched', id));
  }

  @EventSource(Item, { name: 'query', query: (qb) => qb })
  query({ id }: Item) {
    return [sparkEvent('queried', id)];
  }

  @EventSource(Item, { name: 'async' })
  async waiting({ id }: Item) {
    return [sparkEvent('waiting', id)];
  }

  @EventSource(Item, { name: 'raw', where: { state: Raw((alias) => `${alias} <> 'old'`) } })
  raw({ id }: Item) {
    return [sparkEvent('raw', id)];
  }

  @EventSource(Part, { name: 'related', where: { item: { state: 'new' } } })
  related({ id }: Part) {
    return [sparkEvent('related', id)];
  }

  @EventSource(Counted, { name: 'lasting', trueFor: true })
  lasting({ id }: Counted) {
    return [sparkEvent('lasting', id, undefined, { trueFor: '1h' })];
  }

  @EventSource(Counted, { name: 'virtual' })
  virtual({ id }: Counted) {
    return [sparkEvent('counted', id)];
  }
}

const ROWS = 40;
const version = 'release 1';

describe.each(databases.filter(({ name }) => name === 'PostgreSQL'))(
  'a sweep reads only the rows that have changed, on $name',
  (database) => {
    let db: TestDatabase;
    let app: TestApp;

    beforeEach(async () => {
      db = await database.create();
      also = () => {};
    });
    afterEach(async () => {
      await app.close();
      await db.drop();
    });

    const start = async (spark: SparkModuleOptions = {}, providers: any[] = [Items]) => {
      const options = { version, worker: { pollInterval: '1h' as const }, ...spark };
      const imports = [ScheduleModule.forRoot()];
      app = await startApp({ database: db, entities: [Item, Part, Counted], providers, imports, spark: options });
    };
    const sql = (statement: string) => app.dataSource.query(statement);
    const sweep = () => app.spark.sweep({ entity: Item });
    const last = async (source = 'items') =>
      (await app.spark.status()).sources.find((candidate) => candidate.source === source)!.last;
    /** Sweeps until no row counts as changed: a transaction that is open in another database of the server keeps the boundary back. */
    const quiet = async () => {
      for (const end = Date.now() + 20_000; (await sweep()).subjects > 0 && Date.now() < end;) await delay(20);
      expect(await sweep()).toMatchObject({ subjects: 0, entered: 0, failed: 0 });
      expect(await last()).toEqual({ rows: 'changed', why: 'nothing but changed rows can have new events' });
    };
    /** Items that are known and have not changed. */
    const known = async (spark: SparkModuleOptions = {}) => {
      await start(spark);
      await sql(`INSERT INTO item SELECT n, 'new' FROM generate_series(1, ${ROWS}) n`);
      expect(await sweep()).toMatchObject({ subjects: ROWS, entered: ROWS });
      expect(await last()).toEqual({ rows: 'all', why: 'it is the first sweep of this version of the source' });
      await quiet();
    };
    /** The next sweep reads all rows, for a reason. If nothing is in the way any more, the one after it does not. */
    const expectFull = async (why: string, isLasting = false) => {
      expect(await sweep()).toMatchObject({ subjects: ROWS });
      expect(await last()).toEqual({ rows: 'all', why });
      if (isLasting) expect(await sweep()).toMatchObject({ subjects: ROWS });
      else await quiet();
    };

    it('whatever has written them', async () => {
      await known();
      await sql(`UPDATE item SET state = 'paid' WHERE id IN (3, 7)`);
      await sql(`INSERT INTO item VALUES (${ROWS + 1}, 'new')`);
      await sql(`DELETE FROM item WHERE id = 5`);
      await app.dataSource.manager.save(Item, { id: 9, state: 'saved' });
      expect(await sweep()).toMatchObject({ subjects: 4, entered: 3, missed: 3 });
      await quiet();
    });

    it('also those of transactions and savepoints that were open when a sweep began', async () => {
      await known();
      const [one, two] = [app.dataSource.createQueryRunner(), app.dataSource.createQueryRunner()];
      await one.query(`BEGIN; UPDATE item SET state = 'late' WHERE id = 1`);
      await two.query(`BEGIN; SELECT txid_current(); SAVEPOINT s; UPDATE item SET state = 'late' WHERE id = 2`);
      for (let i = 0; i < 3; i++) await sql(`UPDATE item SET state = 'between ${i}' WHERE id = 3`);
      await sweep();
      await two.query(
        `RELEASE SAVEPOINT s; SAVEPOINT t; UPDATE item SET state = 'gone' WHERE id = 4; ROLLBACK TO SAVEPOINT t`,
      );
      await two.query('COMMIT');
      expect(await sweep()).toMatchObject({ entered: 1 });
      await one.query('COMMIT');
      expect(await sweep()).toMatchObject({ entered: 1 });
      // Nothing is open any more, but the last boundary was before the end of these transactions.
      await sweep();
      await quiet();
      await Promise.all([one.release(), two.release()]);
    });

    it('frozen rows are passed over, or read once more, but none that has changed is missed', async () => {
      await known();
      await sql('VACUUM (FREEZE) item');
      expect(await sweep()).toMatchObject({ entered: 0 });
      await sql(`UPDATE item SET state = 'frozen' WHERE id = 2`);
      await sql('VACUUM (FREEZE) item');
      expect(await sweep()).toMatchObject({ entered: 1 });
      await sql('VACUUM FULL item');
      expect(await sweep()).toMatchObject({ entered: 0 });
      await sql('TRUNCATE item CASCADE');
      await sql(`INSERT INTO item SELECT n, 'copied' FROM generate_series(1, ${ROWS}) n`);
      expect(await sweep()).toMatchObject({ subjects: ROWS, entered: ROWS });
    });

    it('a group that a changed row yields for the first time goes through its first sweep', async () => {
      await known({ activation: { limit: 0 } });
      await sql(`UPDATE item SET state = 'paid' WHERE id = 3`);
      expect(await sweep()).toMatchObject({ entered: 1, held: 0 });
      await sql('UPDATE spark_group SET swept_at = NULL');
      await expectFull('a group has not been through its first sweep');
    });

    describe('all rows are read', () => {
      it('if a call asks for it', async () => {
        await known();
        expect(await app.spark.sweep({ full: true })).toMatchObject({ subjects: ROWS });
        expect(await last()).toEqual({ rows: 'all', why: 'a call asked for all rows' });
        await quiet();
      });

      it('in a baseline, and not after it', async () => {
        await known();
        expect(await app.spark.baseline(Item)).toMatchObject({ subjects: ROWS });
        expect(await last()).toEqual({ rows: 'all', why: 'it is a baseline' });
        await quiet();
      });

      it('as often as the option says', async () => {
        await known({ sweep: { interval: '1d', full: '10m' }, autoStart: false });
        await sql('UPDATE spark_sweep SET full_at = full_at - 600000');
        await expectFull('the last sweep that has read all rows was too long ago');
        await sql('UPDATE spark_sweep SET full_at = full_at + 3600000');
        await expectFull('the last sweep that has read all rows was too long ago');
      });

      it('if the application gives another version, or none', async () => {
        await known();
        await app.close();
        await start({ version: 'release 2' });
        await expectFull('it is the first sweep of this version of the source');
        await app.close();
        await start({ version: undefined });
        await expectFull('the option version of SparkModule is not set', true);
      });

      it('after keys were removed from the ledger', async () => {
        await known();
        await app.spark.forget(Item, 3);
        await expectFull('keys were removed from the ledger');
        await app.spark.forget({ key: 'item_4-new' });
        await expectFull('keys were removed from the ledger');
        // It has no keys, but may have had a recheck for a later one.
        await app.spark.forget(Item, ROWS + 1);
        await expectFull('keys were removed from the ledger');
        await app.close();
        await start({ retention: { keys: { item: 1 } } });
        // The maintenance of a process begins at once.
        const left = async () => Number((await sql('SELECT COUNT(*) AS n FROM spark_event'))[0].n);
        for (const end = Date.now() + 20_000; (await left()) > 0 && Date.now() < end;) await delay(20);
        expect(await left()).toBe(0);
        await app.close();
        await start();
        expect(await sweep()).toMatchObject({ subjects: ROWS, entered: ROWS });
        expect(await last()).toEqual({ rows: 'all', why: 'keys were removed from the ledger' });
      });

      it('also if they are removed while a sweep is running', async () => {
        await known();
        await sql(`INSERT INTO item SELECT n, 'new' FROM generate_series(1001, 1600) n`);
        await sweep();
        await quiet();
        // The second page waits a second for the rate.
        const sweeping = app.spark.sweep({ full: true, rate: 500 });
        await new Promise<void>((resolve) => app.spark.sweeps$.subscribe(() => resolve()));
        await app.spark.forget({ key: 'item_4-new' });
        expect(await sweeping).toMatchObject({ subjects: ROWS + 600, entered: 0 });
        expect(await sweep()).toMatchObject({ subjects: ROWS + 600, entered: 1 });
        expect(await last()).toEqual({ rows: 'all', why: 'keys were removed from the ledger' });
      });

      it('if the source has asked for the time, by the scope or by the clock of the process', async () => {
        await known();
        also = (_, scope) => void (scope.now.getTime() > 0);
        await sql(`UPDATE item SET state = 'paid' WHERE id = 3`);
        expect(await sweep()).toMatchObject({ subjects: 1 });
        also = () => {};
        await expectFull('the source has asked for scope.now');
        for (const read of [() => new Date(), () => Date.now(), () => Date()]) {
          also = () => void read();
          await sql(`UPDATE item SET state = 'paid' WHERE id = 3`);
          expect(await sweep()).toMatchObject({ subjects: 1 });
          also = () => {};
          await expectFull('the source has read the clock of the process');
        }
        also = () => void new Date(0);
        await sql(`UPDATE item SET state = 'paid' WHERE id = 3`);
        await sweep();
        await quiet();
      });

      it('if the source has failed, or an event was refused', async () => {
        await known();
        also = () => {
          throw new Error('poisoned');
        };
        await sql(`UPDATE item SET state = 'paid' WHERE id = 3`);
        expect(await sweep()).toMatchObject({ subjects: 1, failed: 1 });
        also = () => {};
        await expectFull('the source has failed for an entity');
        also = () => ({ key: '' });
        await sql(`UPDATE item SET state = 'sent' WHERE id = 3`);
        expect(await sweep()).toMatchObject({ subjects: 1, refused: 1 });
        also = () => {};
        await expectFull('an event was refused');
      });

      it('if a source that is not live has yielded a later event', async () => {
        await known({ live: false });
        const at = new Date(Date.now() + 3_600_000);
        also = () => ({ at });
        await sql(`UPDATE item SET state = 'soon' WHERE id = 3`);
        expect(await sweep()).toMatchObject({ subjects: 1, entered: 0 });
        await expectFull('an event with a later `at` has no recheck, because the source is not live', true);
      });

      it('but not if a live one has, because it has a recheck', async () => {
        await known();
        const at = new Date(Date.now() + 3_600_000);
        also = () => ({ at });
        await sql(`UPDATE item SET state = 'soon' WHERE id = 3`);
        expect(await sweep()).toMatchObject({ subjects: 1, entered: 0 });
        await quiet();
        expect((await app.spark.rechecks()).records).toMatchObject([{ entity: 'Item', entityId: '3' }]);
      });

      it.each([
        [
          'a column that was dropped and added again',
          `ALTER TABLE item DROP COLUMN state; ALTER TABLE item ADD COLUMN state varchar NOT NULL DEFAULT 'again'`,
        ],
        [
          'another table of the same name',
          `ALTER TABLE item RENAME TO former; CREATE TABLE item (LIKE former INCLUDING ALL); INSERT INTO item SELECT * FROM former`,
        ],
      ])('after %s', async (_, statements) => {
        await known();
        await sql(statements);
        await expectFull('the table or its columns are not those of the last sweep');
      });

      it('after a value of an enum was renamed', async () => {
        await known();
        await sql(
          `CREATE TYPE kind AS ENUM ('new', 'old'); ALTER TABLE item ALTER COLUMN state TYPE kind USING CAST(state AS kind)`,
        );
        await sweep();
        await quiet();
        await sql(`ALTER TYPE kind RENAME VALUE 'new' TO 'fresh'`);
        expect(await sweep()).toMatchObject({ subjects: ROWS, entered: ROWS });
        expect(await last()).toEqual({ rows: 'all', why: 'the table or its columns are not those of the last sweep' });
      });

      it('if the server is another one, or the last sweep is too many transactions ago', async () => {
        await known();
        await sql(`UPDATE spark_sweep SET boundary = split_part(boundary, '/', 1) || '/' || repeat('0', 32)`);
        await expectFull('the table or its columns are not those of the last sweep');
        await sql(`UPDATE spark_sweep SET boundary = '-1000000000/' || split_part(boundary, '/', 2)`);
        await expectFull('the last sweep is too many transactions ago');
      });

      it('of a table with row-level security, with children, or of a view', async () => {
        await known();
        await sql('ALTER TABLE item ENABLE ROW LEVEL SECURITY');
        await expectFull('the table has row-level security', true);
        await sql('ALTER TABLE item DISABLE ROW LEVEL SECURITY; CREATE TABLE child () INHERITS (item)');
        await expectFull('other tables inherit from the table', true);
        await sql('ALTER TABLE item RENAME TO rows_of_items; CREATE VIEW item AS SELECT * FROM rows_of_items');
        await expectFull('it is not a plain table', true);
        await sql('DROP VIEW item');
      });

      it('by a source that reads more than the row', async () => {
        await start({}, [Others]);
        await sql(`INSERT INTO item VALUES (1, 'new'); INSERT INTO part VALUES (1, 1); INSERT INTO counted VALUES (1)`);
        await app.spark.sweep();
        expect(await app.spark.sweep()).toMatchObject({ subjects: 8 });
        expect(await last('lasting')).toEqual({ rows: 'all', why: 'the source yields events with trueFor' });
        const waits = 'the source reads more than the row of its entity, or it waits';
        const where = 'the where of the source may read more than the row of its entity';
        for (const source of ['relations', 'batch', 'query', 'async'])
          expect(await last(source)).toEqual({ rows: 'all', why: waits });
        for (const source of ['raw', 'related']) expect(await last(source)).toEqual({ rows: 'all', why: where });
        const virtual = 'the entity has columns that are read from other tables';
        expect(await last('virtual')).toEqual({ rows: 'all', why: virtual });
      });
    });
  },
);

it.each(databases.filter(({ name }) => name !== 'PostgreSQL'))(
  'on $name, all rows are always read',
  async (database) => {
    const db = await database.create();
    const app = await startApp({ database: db, entities: [Item], providers: [Items], spark: { version } });
    await app.dataSource.query(`INSERT INTO item VALUES (1, 'new')`);
    for (let i = 0; i < 2; i++) expect(await app.spark.sweep()).toMatchObject({ subjects: 1 });
    const why = 'the database does not tell which rows have changed';
    expect((await app.spark.status()).sources[0]!.last).toEqual({ rows: 'all', why });
    await app.close();
    await db.drop();
  },
);
