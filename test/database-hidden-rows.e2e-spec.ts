import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { Column, DataSource, Entity, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import {
  addTransactionalDataSource,
  deleteDataSourceByName,
  initializeTransactionalContext,
  runInTransaction,
} from 'typeorm-transactional';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Invoice {
  @PrimaryColumn() id: number;
  @Column({ default: 'a' }) tenant: string;
}

@Injectable()
class Invoices {
  @EventSource(Invoice, { name: 'invoices' }) *events(invoice: Invoice) {
    yield sparkEvent('invoice', invoice.id, { invoice });
  }
}

@Injectable()
class Handlers {
  readonly handled: string[] = [];

  @GroupHandler(/./, { name: 'mails', backoff: () => '3s' }) mail({ key }: SparkEvent) {
    this.handled.push(key);
  }
}

describe.each(databases)('emit within a transaction, without its manager, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;

  beforeAll(async () => {
    db = await database.create();
    app = await startApp({ database: db, entities: [Invoice], spark: { worker: false } });
    if (database.name === 'SQLite') return;
    initializeTransactionalContext();
    addTransactionalDataSource(app.dataSource);
  });
  afterAll(async () => {
    if (database.name !== 'SQLite') deleteDataSourceByName('default');
    await app.close();
    await db.drop();
  });

  const inTransaction = <T>(work: () => Promise<T>): Promise<T> =>
    database.name === 'SQLite' ? app.dataSource.transaction(work) : runInTransaction(work);
  const warnings = () => app.logs.filter((line) => line.includes('without its manager'));

  it('is logged once and counted; outside of one, and with its manager, it is not', async () => {
    await app.spark.emit(sparkEvent('outside', 1));
    await app.dataSource.transaction((manager) => app.spark.emit(sparkEvent('with', 1), { manager }));
    expect(warnings()).toEqual([]);
    await inTransaction(() => app.spark.emit(sparkEvent('within', 1)));
    await inTransaction(() => app.spark.emit(sparkEvent('within', 2)));
    expect(warnings()).toEqual([expect.stringMatching(/^warn SparkService\.emit was called within a transaction/)]);
    expect((await app.spark.status()).counts.emitsBesideTransaction).toBe(2);
  });

  it('and what becomes of it where that is rolled back is what the line says', async () => {
    const undone = inTransaction(async () => {
      await app.spark.emit(sparkEvent('within', 3));
      throw new Error('undone');
    });
    await expect(undone).rejects.toThrow('undone');
    const rows = await app.dataSource.query(`SELECT event_key FROM spark_event WHERE event_key = 'within_3'`);
    expect(rows).toHaveLength(database.name === 'SQLite' ? 0 : 1);
    expect(warnings()[0]).toContain(
      database.name === 'SQLite'
        ? 'On SQLite its events are part of'
        : 'Its events are entered even if the transaction is rolled back',
    );
  });
});

const [postgres] = databases.filter(({ name }) => name === 'PostgreSQL');

@Entity()
class Ticket {
  @PrimaryGeneratedColumn() id: number;
}

@Injectable()
class Tickets {
  @EventSource(Ticket, { name: 'tickets' }) *events({ id }: Ticket) {
    yield sparkEvent('ticket', id);
  }
}

describe.each(databases)('a table that is cleared, on $name', (database) => {
  it('has spent the keys of its rows: where ids are counted anew, explain says so, and forget gives them back', async () => {
    const db = await database.create();
    const app = await startApp({ database: db, entities: [Ticket], providers: [Tickets], spark: { worker: false } });
    try {
      const tickets = app.dataSource.getRepository(Ticket);
      const { id: first } = await tickets.save({});
      await tickets.clear();
      const { id: second } = await tickets.save({});
      expect(first === second).toBe(database.name === 'MariaDB');
      const { records } = await app.spark.events();
      expect(records.map(({ key }) => key)).toEqual([...new Set([second, first])].map((id) => `ticket_${id}`));
      if (first !== second) return;
      expect((await app.spark.explain(Ticket, second)).words.join('\n')).toContain('ticket_1 was entered');
      await app.spark.forget(Ticket, second);
      await tickets.save({ id: second });
      expect(await app.spark.sweep()).toMatchObject({ entered: 1 });
    } finally {
      await app.close();
      await db.drop();
    }
  });
});

describe('PostgreSQL hides rows', () => {
  let db: TestDatabase;
  let app: TestApp;
  let admin: DataSource;
  const role = `spark_test_role_${process.pid}`;

  const settle = async (state: string) => {
    for (let i = 0; i < 2_000; i++) {
      const rows: { state: string }[] = await admin.query('SELECT state FROM spark_delivery');
      if (rows.length > 0 && rows.every((row) => row.state === state)) return;
      await app.spark.drain();
      await delay(10);
    }
  };

  afterEach(async () => {
    await app.close();
    await admin.query(`DROP OWNED BY ${role}`).catch(() => undefined);
    await admin.query(`DROP ROLE IF EXISTS ${role}`);
    await admin.destroy();
    await db.drop();
  });

  it('by row-level security: it is logged at boot, and what is not seen is not taken for gone', async () => {
    db = await postgres!.create();
    admin = await new DataSource({ ...db.options, entities: [Invoice] }).initialize();
    app = await startApp({ database: db, entities: [Invoice], spark: { worker: false } });
    await app.close();
    await admin.query(`CREATE ROLE ${role} LOGIN`);
    await admin.query(`GRANT ALL ON ALL TABLES IN SCHEMA public TO ${role}`);
    await admin.query(`GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO ${role}`);
    await admin.query('ALTER TABLE invoice ENABLE ROW LEVEL SECURITY');
    await admin.query(`CREATE POLICY tenants ON invoice USING (tenant = current_setting('app.tenant', true))`);

    const url = new URL((db.options as { url: string }).url);
    url.username = role;
    const restricted = { ...db, options: { ...db.options, url: url.href } as never };
    app = await startApp({
      database: restricted,
      entities: [Invoice],
      providers: [Invoices, Handlers],
      dataSource: { synchronize: false },
      spark: { worker: false },
    });
    expect(app.logs.join('\n')).toMatch(/warn PostgreSQL hides rows of Invoice from Spark by row-level security/);
    await app.dataSource.transaction(async (manager) => {
      await manager.query(`SET LOCAL app.tenant = 'a'`);
      await manager.save(Invoice, { id: 1, tenant: 'a' });
    });
    await app.spark.drain();
    const [delivery] = await admin.query('SELECT state, attempt, last_error FROM spark_delivery');
    expect(delivery).toMatchObject({ state: 'available' });
    expect(delivery.last_error).toMatch(/Invoice 1 .*was not found: it is gone, or PostgreSQL hides it/);
    // As soon as it is seen, it is handled.
    await admin.query(`ALTER ROLE ${role} BYPASSRLS`);
    await settle('completed');
    expect(app.app.get(Handlers).handled).toEqual(['invoice_1']);
  });

  it('by a search_path of the transaction: with the option schema, Spark finds its own tables', async () => {
    db = await postgres!.create();
    admin = await new DataSource({ ...db.options, entities: [] }).initialize();
    await admin.query('CREATE SCHEMA tenant_a');
    await admin.query('CREATE TABLE tenant_a.invoice (id int PRIMARY KEY, tenant varchar NOT NULL)');
    app = await startApp({
      database: db,
      entities: [Invoice],
      providers: [Invoices, Handlers],
      spark: { worker: false, schema: 'public' },
    });
    await app.dataSource.transaction(async (manager) => {
      await manager.query('SET LOCAL search_path TO tenant_a');
      await manager.save(Invoice, { id: 7, tenant: 'a' });
    });
    const rows = await admin.query('SELECT event_key FROM public.spark_event');
    expect(rows).toEqual([{ event_key: 'invoice_7' }]);
  });
});
