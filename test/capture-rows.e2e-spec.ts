import * as fc from 'fast-check';
import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent } from 'nestjs-spark';
import {
  AfterInsert,
  AfterUpdate,
  BeforeInsert,
  BeforeUpdate,
  Column,
  Entity,
  type EntityManager,
  ManyToOne,
  OneToMany,
  PrimaryGeneratedColumn,
  type Relation,
} from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

/** Kinds of columns that say the same in memory and in the database, most of the time. */
@Entity()
class Plain {
  @PrimaryGeneratedColumn() id: number;
  @Column({ type: 'int' }) whole: number;
  @Column() truth: boolean;
  @Column({ type: 'varchar', length: 40 }) text: string;
  @Column({ type: 'varchar', nullable: true }) maybe: string | null;
}

/** Its row is not what was saved. */
@Entity()
class Spelt {
  @PrimaryGeneratedColumn() id: number;
  @Column({ transformer: { to: (name: string) => name.trim().toUpperCase(), from: (name: string) => name } })
  name: string;
}

/** Columns that TypeORM leaves out of its statements, whatever the instance says. */
@Entity()
class Guarded {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
  @Column({ type: 'int', update: false }) author: number;
  @Column({ type: 'varchar', nullable: true, insert: false }) approvedBy: string | null;
}

/** Its secret is written in another form than the application holds it in. */
@Entity()
class Secret {
  @PrimaryGeneratedColumn() id: number;
  @Column() word: string;

  @BeforeInsert()
  @BeforeUpdate()
  encrypt() {
    this.word = Array.from(this.word).toReversed().join('');
  }

  @AfterInsert()
  @AfterUpdate()
  decrypt() {
    this.encrypt();
  }
}

/** What the statements of the test change behind TypeORM's back. */
@Entity()
class Order {
  @PrimaryGeneratedColumn() id: number;
  @Column() status: string;
  @Column() items: number;
  @OneToMany(() => Line, (line) => line.order) lines: Relation<Line>[];
}

@Entity()
class Line {
  @PrimaryGeneratedColumn() id: number;
  @Column({ type: 'int' }) orderId: number;
  @ManyToOne(() => Order, (order) => order.lines) order: Relation<Order>;
}

@Injectable()
class CachedEvents {
  @EventSource(Order)
  *order({ id, status, items }: Order) {
    yield sparkEvent('order', [id, status, items]);
  }

  @EventSource(Order, { relations: { lines: true } })
  async later({ id, status, lines }: Order) {
    return [sparkEvent('later', [id, status, lines.length])];
  }
}

@Injectable()
class RowEvents {
  @EventSource(Guarded)
  *guarded({ id, title, author, approvedBy }: Guarded) {
    yield sparkEvent('guarded', [id, title, author, String(approvedBy)]);
  }

  @EventSource(Secret)
  *secret({ id, word }: Secret) {
    yield sparkEvent('secret', [id, word]);
  }

  @EventSource(Order)
  *order({ id, status, items }: Order) {
    yield sparkEvent('order', [id, status, items]);
  }
}

/** What the source saw of each entity, by id. */
const seen = new Map<number, Plain[]>();

@Injectable()
class Events {
  @EventSource(Plain)
  *plain(plain: Plain) {
    seen.set(plain.id, [...(seen.get(plain.id) ?? []), plain]);
    yield sparkEvent('plain', plain.id);
  }
}

const spelt: Spelt[] = [];

@Injectable()
class SpeltEvents {
  @EventSource(Spelt)
  *spelt(row: Spelt) {
    spelt.push(row);
    yield sparkEvent('spelt', row.id);
  }
}

const text = (maxLength: number) =>
  fc.oneof(
    fc.string({ maxLength }),
    fc.string({ unit: 'binary', maxLength: Math.floor(maxLength / 2) }),
    fc.constantFrom('', ' ', 'a ', '\0', '\ud800', 'é', 'é', '🎉', "it's", 'null'),
  );

const plain = fc.record({
  whole: fc.oneof(fc.integer(), fc.constant(-0)),
  truth: fc.boolean(),
  text: text(40),
  maybe: fc.oneof(fc.constant(null), text(60)),
});

describe.each(databases)('events come from the row, on $name', (database) => {
  it('for every value that the database takes', async () => {
    seen.clear();
    const db = await database.create();
    const { dataSource, close } = await startApp({
      database: db,
      entities: [Plain],
      providers: [Events],
      spark: { worker: false },
    });
    await fc.assert(
      fc.asyncProperty(plain, async (values) => {
        const saved = await dataSource.manager.save(Plain, { ...values }).catch(() => undefined);
        if (!saved) return;
        const row = await dataSource.manager.findOneByOrFail(Plain, { id: saved.id });
        const [live, ...more] = seen.get(saved.id) ?? [];
        expect(more).toEqual([]);
        expect(live).toBeInstanceOf(Plain);
        expect(live).toEqual(row);
      }),
      { numRuns: 300 },
    );
    await close();
    await db.drop();
  }, 60_000);

  it('where a partial save leaves a nullable column alone, and where it sets it', async () => {
    seen.clear();
    const db = await database.create();
    const entities = [Plain];
    const { dataSource, close } = await startApp({
      database: db,
      entities,
      providers: [Events],
      spark: { worker: false },
    });
    const { id } = await dataSource.manager.save(Plain, { whole: 1, truth: true, text: 'a', maybe: 'there' });
    await dataSource.manager.save(Plain, { id, whole: 2, truth: true, text: 'a' });
    await dataSource.manager.save(Plain, { id, whole: 3, truth: true, text: 'a', maybe: null });
    expect(seen.get(id)!.map(({ whole, maybe }) => [whole, maybe])).toEqual([
      [1, 'there'],
      [2, 'there'],
      [3, null],
    ]);
    await close();
    await db.drop();
  });

  it('where a transformer writes something else than was saved', async () => {
    const db = await database.create();
    const options = { entities: [Spelt], providers: [SpeltEvents], spark: { worker: false } as const };
    const { dataSource, close } = await startApp({ database: db, ...options });
    spelt.length = 0;
    const { id } = await dataSource.manager.save(Spelt, { name: ' ada ' });
    expect(spelt).toEqual([{ id, name: 'ADA' }]);
    await close();
    await db.drop();
  });

  it('where the application has a cache for all its queries', async () => {
    const db = await database.create();
    const dataSource = { cache: { alwaysEnabled: true, duration: 600_000 } };
    const spark = { worker: false } as const;
    const app = await startApp({
      database: db,
      entities: [Order, Line],
      providers: [CachedEvents],
      spark,
      dataSource,
    });
    const { manager } = app.dataSource;
    const keys = async () => {
      await app.spark.drain();
      const rows: { event_key: string }[] = await app.dataSource.query('SELECT event_key FROM spark_event ORDER BY id');
      return rows.map(({ event_key: key }) => key).sort();
    };
    const { id } = await manager.save(Order, { status: 'open', items: 1 });
    await app.spark.drain();
    const line = await manager.save(Line, { orderId: id });
    await app.spark.drain();
    await manager.save(Order, { id, status: 'paid', items: 1 });
    const saved = [`later_${id},open,0`, `later_${id},open,1`, `later_${id},paid,1`];
    const own = [`order_${id},open,1`, `order_${id},paid,1`];
    expect(await keys()).toEqual([...saved, ...own]);
    const table = app.dataSource.driver.escape('order');
    await app.dataSource.query(`UPDATE ${table} SET status = 'raw'`);
    await app.spark.sweep();
    await app.dataSource.query(`UPDATE ${table} SET status = 'again'`);
    await manager.delete(Line, { id: line.id });
    await app.spark.sweep();
    const swept = [`later_${id},again,0`, ...saved, `later_${id},raw,1`];
    expect(await keys()).toEqual([...swept, `order_${id},again,1`, ...own, `order_${id},raw,1`]);
    expect(JSON.stringify(await app.spark.explain(Order, id))).toContain('again');
    await app.close();
    await db.drop();
  });

  describe('whatever the application holds in memory', () => {
    let db: TestDatabase;
    let app: TestApp;
    let m: EntityManager;

    beforeAll(async () => {
      db = await database.create();
      const spark = { worker: false } as const;
      app = await startApp({ database: db, entities: [Guarded, Secret, Order, Line], providers: [RowEvents], spark });
      m = app.dataSource.manager;
    });
    afterAll(async () => {
      await app.close();
      await db.drop();
    });

    /** The keys of a group since the last time, and that a sweep finds nothing that they lack. */
    const known = new Set<string>();
    const eventsOf = async (group: string) => {
      const keysOf = async () => {
        const rows = (await m.query('SELECT event_key FROM spark_event ORDER BY id')) as { event_key: string }[];
        return rows.map(({ event_key: key }) => key).filter((key) => key.startsWith(`${group}_`) && !known.has(key));
      };
      const live = await keysOf();
      await app.spark.sweep();
      expect(await keysOf()).toEqual(live);
      live.forEach((key) => known.add(key));
      return live.map((key) => key.slice(group.length + 1));
    };

    it('where a column is not updated, or not inserted', async () => {
      const { id } = await m.save(Guarded, { title: 'a', author: 1, approvedBy: 'nobody' });
      expect(await eventsOf('guarded')).toEqual([`${id},a,1,null`]);
      await m.save(Guarded, { id, title: 'b', author: 2, approvedBy: 'eve' });
      expect(await eventsOf('guarded')).toEqual([`${id},b,1,eve`]);
    });

    it('where a hook encrypts what is written, and decrypts it afterwards', async () => {
      const saved = await m.save(Object.assign(new Secret(), { word: 'abc' }));
      expect(await eventsOf('secret')).toEqual([`${saved.id},cba`]);
      await m.save(Object.assign(saved, { word: 'xyz' }));
      expect(await eventsOf('secret')).toEqual([`${saved.id},zyx`]);
    });

    it('where a trigger of the database changes it', async () => {
      const { id } = await m.save(Order, { status: 'open', items: 0 });
      await eventsOf('order');
      for (const statement of TRIGGERS[database.name]) await m.query(statement);
      try {
        const { id: other } = await m.save(Order, { status: 'express', items: 1 });
        expect(await eventsOf('order')).toEqual([`${other},checked,1`]);
        await m.save(Order, { id, status: 'express' });
        expect(await eventsOf('order')).toEqual([`${id},checked,0`]);
      } finally {
        for (const statement of NO_TRIGGERS[database.name]) await m.query(statement);
      }
    });

    it('where any statement of the same transaction writes it again', async () => {
      for (const statement of FUNCTIONS[database.name]) await m.query(statement);
      let items = 1;
      for (const statement of WRITES[database.name]) {
        const { id } = await m.save(Order, { status: 'open', items: 0 });
        await eventsOf('order');
        items++;
        await m.transaction(async (inner) => {
          await inner.save(Order, { id, status: 'paid', items: 0 });
          await inner.query(statement.replaceAll('ID', String(id)).replaceAll('ITEMS', String(items)));
        });
        expect([statement, ...(await eventsOf('order'))]).toEqual([statement, `${id},paid,${items}`]);
      }
    });

    it.skipIf(database.name === 'SQLite')('while another request holds the next row of a small table', async () => {
      await m.query(`DELETE FROM ${m.dataSource.driver.escape('order')}`);
      const orders = await m.save(
        Order,
        [1, 2, 3, 4].map((items) => ({ status: 'held', items })),
      );
      await eventsOf('order');
      const [next, ...some] = orders.toReversed();
      const other = app.dataSource.createQueryRunner();
      await other.startTransaction();
      await other.manager.update(Order, { id: next!.id }, { status: 'elsewhere' });
      const saving = m.save(
        Order,
        some.map(({ id }) => ({ id, status: 'free' })),
      );
      const waiting = Symbol('waiting');
      const first = await Promise.race([saving, new Promise((done) => setTimeout(done, 10_000, waiting))]);
      await other.rollbackTransaction();
      await other.release();
      await saving;
      expect(first).not.toBe(waiting);
      expect(await eventsOf('order')).toHaveLength(3);
    });

    it.runIf(database.name === 'PostgreSQL')('while a migration changes the type of a column', async () => {
      const { id } = await m.save(Order, { status: 'open', items: 1 });
      for (const length of [100, 200]) {
        await m.query(`ALTER TABLE "order" ALTER COLUMN status TYPE varchar(${length})`);
        // On every connection that has read such a row before.
        await Promise.all([1, 2, 3, 4].map((n) => m.save(Order, { status: `wide ${length}`, items: n })));
        await m.save(Order, { id, status: `wide ${length}` });
      }
      expect(await eventsOf('order')).toContain(`${id},wide 200,1`);
    });

    it('where another request has changed it since the transaction began, and the save finds nothing to change', async () => {
      const { id } = await m.save(Order, { status: 'open', items: 1 });
      const others = await Promise.all([2, 3].map((items) => m.save(Order, { status: 'open', items })));
      await eventsOf('order');
      // A state that no save has reported, and that is gone by the time of the second one.
      await m.query(`UPDATE ${m.dataSource.driver.escape('order')} SET items = 8 WHERE id = ${id}`);
      const again = async (inner: EntityManager) => {
        // SQLite has one writer at a time.
        const stale = await inner.find(Order, { where: { status: 'open' } });
        if (database.name !== 'SQLite') {
          await m.save(Order, { id, status: 'paid', items: 5 });
          await m.save(Order, { id: others[0]!.id, status: 'paid' });
        }
        await inner.save(
          Order,
          stale.map((order) => ({ id: order.id, status: 'paid' })),
        );
      };
      await m.transaction(again);
      const paid = [
        `${id},paid,${database.name === 'SQLite' ? 8 : 5}`,
        ...others.map((o) => `${o.id},paid,${o.items}`),
      ];
      expect((await eventsOf('order')).sort()).toEqual(paid.sort());
    });
  });
});

const TRIGGERS = {
  SQLite: [
    `CREATE TRIGGER checked_new AFTER INSERT ON "order" WHEN new.status = 'express'
       BEGIN UPDATE "order" SET status = 'checked' WHERE id = new.id; END`,
    `CREATE TRIGGER checked AFTER UPDATE ON "order" WHEN new.status = 'express'
       BEGIN UPDATE "order" SET status = 'checked' WHERE id = new.id; END`,
  ],
  PostgreSQL: [
    `CREATE FUNCTION check_order() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN UPDATE "order" SET status = 'checked' WHERE id = new.id AND status = 'express'; RETURN NULL; END $$`,
    `CREATE TRIGGER checked AFTER INSERT OR UPDATE ON "order" FOR EACH ROW EXECUTE FUNCTION check_order()`,
  ],
  // Here a trigger cannot change the table that it belongs to, but the row before it is written.
  MariaDB: [
    "CREATE TRIGGER checked_new BEFORE INSERT ON `order` FOR EACH ROW SET new.status = REPLACE(new.status, 'express', 'checked')",
    "CREATE TRIGGER checked BEFORE UPDATE ON `order` FOR EACH ROW SET new.status = REPLACE(new.status, 'express', 'checked')",
  ],
};
const NO_TRIGGERS = {
  SQLite: ['DROP TRIGGER checked_new', 'DROP TRIGGER checked'],
  PostgreSQL: ['DROP TRIGGER checked ON "order"'],
  MariaDB: ['DROP TRIGGER checked_new', 'DROP TRIGGER checked'],
};

const FUNCTIONS = {
  SQLite: [],
  PostgreSQL: [
    'CREATE SCHEMA shop',
    `CREATE FUNCTION shop.put(n int, k int) RETURNS int LANGUAGE sql AS 'UPDATE "order" SET items = k WHERE id = n RETURNING n'`,
  ],
  MariaDB: ['CREATE PROCEDURE put(n int, k int) UPDATE `order` SET items = k WHERE id = n'],
};

/** Statements that write, whatever they look like. */
const WRITES = {
  SQLite: [
    '/* tag */ UPDATE "order" SET items = ITEMS WHERE id = ID',
    '-- tag\nUPDATE "order" SET items = ITEMS WHERE id = ID',
    'WITH these AS (SELECT ID AS id) UPDATE "order" SET items = ITEMS WHERE id IN (SELECT id FROM these)',
  ],
  PostgreSQL: [
    '/* tag */ UPDATE "order" SET items = ITEMS WHERE id = ID',
    '-- tag\nUPDATE "order" SET items = ITEMS WHERE id = ID',
    'SELECT shop.put(ID, ITEMS)',
    'SELECT * FROM shop.put(ID, ITEMS)',
    'TABLE "order"; SELECT 1 + shop.put(ID, ITEMS)',
    'EXPLAIN ANALYZE UPDATE "order" SET items = ITEMS WHERE id = ID',
    'WITH w AS (UPDATE "order" SET items = ITEMS WHERE id = ID RETURNING 1) SELECT * FROM w',
    'DO $$ BEGIN PERFORM shop.put(ID, ITEMS); END $$',
  ],
  MariaDB: [
    '/* tag */ UPDATE `order` SET items = ITEMS WHERE id = ID',
    '-- tag\nUPDATE `order` SET items = ITEMS WHERE id = ID',
    '/*! UPDATE */ `order` SET items = ITEMS WHERE id = ID',
    'CALL put(ID, ITEMS)',
    'ANALYZE UPDATE `order` SET items = ITEMS WHERE id = ID',
    "EXECUTE IMMEDIATE 'UPDATE `order` SET items = ITEMS WHERE id = ID'",
    "REPLACE INTO `order` (id, status, items) VALUES (ID, 'paid', ITEMS)",
  ],
};
