import { Injectable, type Provider } from '@nestjs/common';
import { DuplicateEntityError, EventSource, GroupHandler, snapshot, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { Column, DataSource, type DataSourceOptions, Entity, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { refusal } from './support/refusal.js';
import { HOUR, SetClock } from './support/set-clock.js';

const due = new SetClock().date(HOUR);
const seen: string[] = [];

@Entity('invoice')
class Invoice {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}

/** The same class after a rename. */
@Entity('invoice')
class Bill {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}

/** Another part of the application has an entity of that name as well. */
@Entity('elsewhere')
class Namesake {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}
Object.defineProperty(Namesake, 'name', { value: 'Invoice' });

@Entity('seat')
class Seat {
  @PrimaryColumn() row: number;
  @Column() number: number;
}

@Entity('seat')
class SeatByNumber {
  @Column() row: number;
  @PrimaryColumn() number: number;
}

interface Titled {
  readonly id: number;
  readonly title: string;
}

function* invoiceEvents(invoice: Titled) {
  yield sparkEvent('invoice_sent', invoice.id, { invoice, was: snapshot(invoice) });
  yield sparkEvent('invoice_due', invoice.id, { invoice }, { at: due });
}

@Injectable()
class Invoices {
  @EventSource(Invoice, { name: 'invoices' })
  events(invoice: Invoice) {
    return [...invoiceEvents(invoice)];
  }
}

@Injectable()
class Bills {
  @EventSource(Bill, { name: 'invoices' })
  events(bill: Bill) {
    return [...invoiceEvents(bill)];
  }
}

@Injectable()
class Namesakes {
  @EventSource(Namesake, { name: 'namesakes' })
  *events(other: Titled) {
    yield sparkEvent('other_sent', other.id, { invoice: other, was: snapshot(other) });
    yield sparkEvent('other_due', other.id, { invoice: other }, { at: due });
  }
}

@Injectable()
class Mails {
  @GroupHandler(/_(sent|due)$/, { name: 'mails' })
  send({ key, context }: SparkEvent<any>) {
    const { invoice, was } = context;
    const isOf = (type: new () => object) => invoice instanceof type && (!was || was instanceof type);
    const of = isOf(Invoice) ? 'Invoice' : isOf(Bill) ? 'Bill' : isOf(Namesake) ? 'Namesake' : 'nothing';
    seen.push(`${key}: ${of} ${invoice.title}`);
  }
}

describe.each(databases)('an entity is its table, on $name', (database) => {
  let db: TestDatabase;
  let clock: SetClock;
  const running: TestApp[] = [];

  beforeEach(async () => {
    db = await database.create();
    clock = new SetClock();
    seen.length = 0;
  });
  afterEach(async () => {
    for (const app of running.splice(0)) await app.close();
    await db.drop();
  });

  const start = async (entities: DataSourceOptions['entities'], ...providers: Provider[]) => {
    const app = await startApp({ database: db, entities, providers, clock, spark: { worker: false } });
    running.push(app);
    return app;
  };
  const stop = async (app: TestApp) => {
    running.splice(running.indexOf(app), 1);
    await app.close();
  };
  const drained = async (app: TestApp) => {
    seen.length = 0;
    await app.spark.drain();
    return [...seen].sort();
  };
  const troubles = ({ logs }: TestApp) =>
    logs.filter((line) => /^(warn|error)/.test(line) && !line.includes('data source'));
  const rechecksLeft = async (app: TestApp): Promise<number> =>
    (await app.dataSource.query('SELECT * FROM spark_recheck')).length;

  it('a class that is renamed keeps its deliveries, its dates and its history', async () => {
    const old = await start([Invoice], Invoices, Mails);
    const { id } = await old.dataSource.manager.save(Object.assign(new Invoice(), { title: 'one' }));
    await stop(old);
    const app = await start([Bill], Bills, Mails);
    expect(await drained(app)).toEqual([`invoice_sent_${id}: Bill one`]);
    const { events, rechecks } = await app.spark.explain(Bill, id);
    expect(events.map(({ key }) => key)).toEqual([`invoice_sent_${id}`]);
    expect(rechecks.map((recheck) => recheck.due)).toEqual([due]);
    clock.pass(HOUR);
    expect(await drained(app)).toEqual([`invoice_due_${id}: Bill one`]);
    await app.spark.forget(Bill, id);
    expect((await app.spark.explain(Bill, id)).events).toEqual([]);
  });

  it('while a class is renamed, the old version and the new one work beside each other', async () => {
    const old = await start([Invoice], Invoices, Mails);
    const next = await start([Bill], Bills, Mails);
    await old.dataSource.manager.save(Object.assign(new Invoice(), { title: 'one' }));
    expect(await drained(next)).toEqual(['invoice_sent_1: Bill one']);
    await next.dataSource.manager.save(Object.assign(new Bill(), { title: 'two' }));
    expect(await drained(old)).toEqual(['invoice_sent_2: Invoice two']);
    clock.pass(HOUR);
    expect(await drained(old)).toEqual(['invoice_due_1: Invoice one', 'invoice_due_2: Invoice two']);
    expect([old, next].flatMap(troubles)).toEqual([]);
  });

  it('two classes of one name on two tables each have their own events, dates and rows', async () => {
    const app = await start([Invoice, Namesake], Invoices, Namesakes, Mails);
    const { manager } = app.dataSource;
    await manager.save(Object.assign(new Invoice(), { title: 'mine' }));
    await manager.save(Object.assign(new Namesake(), { title: 'theirs' }));
    expect(await drained(app)).toEqual(['invoice_sent_1: Invoice mine', 'other_sent_1: Namesake theirs']);
    await manager.update(Namesake, { id: 1 }, { title: 'new' });
    clock.pass(HOUR);
    expect(await drained(app)).toEqual(['invoice_due_1: Invoice mine', 'other_due_1: Namesake new']);
    await app.spark.forget(Namesake, 1);
    expect((await app.spark.explain(Namesake, 1)).events).toEqual([]);
    expect((await app.spark.explain(Invoice, 1)).events).toHaveLength(2);
  });

  it('a second class on a table shares its sources, whichever of the two is written', async () => {
    const app = await start([Invoice, Bill], Invoices, Mails);
    const { manager } = app.dataSource;
    await manager.save(Object.assign(new Bill(), { title: 'one' }));
    await manager.insert(Bill, { title: 'two' });
    expect(await drained(app)).toEqual(['invoice_sent_1: Invoice one', 'invoice_sent_2: Invoice two']);
    expect(await rechecksLeft(app)).toBe(2);
    await manager.update(Bill, { id: 1 }, { title: 'three' });
    clock.pass(HOUR);
    expect(await drained(app)).toEqual(['invoice_due_1: Invoice three', 'invoice_due_2: Invoice two']);
  });

  it('what the first release recorded by the names of classes goes on', async () => {
    const app = await start([Invoice], Invoices, Mails);
    await app.dataSource.manager.save(Object.assign(new Invoice(), { title: 'one' }));
    const ofFirstRelease = [
      `UPDATE spark_recheck SET entity = 'Invoice'`,
      `UPDATE spark_event SET entity = 'Invoice', context = REPLACE(context, ',"table":"invoice"', '')`,
    ];
    for (const sql of ofFirstRelease) await app.dataSource.query(sql);
    await app.dataSource.manager.save(Object.assign(new Invoice(), { id: 1, title: 'two' }));
    expect(await drained(app)).toEqual(['invoice_sent_1: Invoice two']);
    expect((await app.spark.explain(Invoice, 1)).events).toHaveLength(1);
    expect(troubles(app)).toEqual([]);
    await app.dataSource.query(`DELETE FROM spark_recheck WHERE entity = 'invoice'`);
    clock.pass(HOUR);
    expect(await drained(app)).toEqual(['invoice_due_1: Invoice two']);
    await app.dataSource.query(ofFirstRelease[1]!);
    await app.spark.forget(Invoice, 1);
    expect((await app.spark.explain(Invoice, 1)).events).toEqual([]);
  });

  it('rows hold the table, and messages the class', async () => {
    const app = await start([Invoice, Namesake], Invoices, Namesakes, Mails);
    await app.dataSource.manager.save(Object.assign(new Namesake(), { title: 'one' }));
    const names = (table: string) => app.dataSource.query(`SELECT DISTINCT entity FROM ${table}`);
    expect(await names('spark_event')).toEqual([{ entity: 'elsewhere' }]);
    expect(await names('spark_recheck')).toEqual([{ entity: 'elsewhere' }]);
    expect((await app.spark.explain(Namesake, 1)).words.join('\n')).toMatch(/^other_sent_1/m);
    expect((await app.spark.explain(Namesake, 2)).words).toEqual(['There is no Invoice 2: its sources yield nothing.']);
  });
});

describe.each(databases.filter(({ name }) => name === 'PostgreSQL'))('a schema is part of it, on $name', (database) => {
  @Entity('invoice', { schema: 'archive' })
  class Archived {
    @PrimaryGeneratedColumn() id: number;
    @Column() title: string;
  }
  @Entity('invoice', { schema: 'public' })
  class Placed {
    @PrimaryGeneratedColumn() id: number;
    @Column() title: string;
  }
  @Injectable()
  class Archive {
    @EventSource(Archived, { name: 'archive' })
    *events({ id }: Archived) {
      yield sparkEvent('archived', id);
    }
  }
  let db: TestDatabase;
  const tables = async ({ dataSource }: TestApp): Promise<string[]> =>
    (await dataSource.query(`SELECT DISTINCT entity FROM spark_event ORDER BY entity`)).map(
      ({ entity }: any) => entity,
    );

  beforeEach(async () => {
    db = await database.create();
    const dataSource = await new DataSource(db.options).initialize();
    await dataSource.query('CREATE SCHEMA archive');
    await dataSource.destroy();
  });
  afterEach(() => db.drop());

  it('where it is not the one of the DataSource, which may be named or left out', async () => {
    const app = await startApp({ database: db, entities: [Archived, Invoice], providers: [Archive, Invoices] });
    await app.dataSource.manager.insert(Archived, { title: 'old' });
    await app.dataSource.manager.insert(Invoice, { title: 'new' });
    await app.spark.drain();
    expect(await tables(app)).toEqual(['archive.invoice', 'invoice']);
    await app.close();
    const moved = await startApp({ database: db, entities: [Archived, Placed], providers: [Archive] });
    expect((await moved.spark.explain(Placed, 1)).events.map(({ key }) => key)).toContain('invoice_sent_1');
    expect((await moved.spark.explain(Archived, 1)).events.map(({ key }) => key)).toEqual(['archived_1']);
    await moved.close();
  });
});

describe('two classes of one table', () => {
  it('are refused at boot by their names where their keys differ and one has a source', async () => {
    @Injectable()
    class Seats {
      @EventSource(Seat)
      events() {
        return [];
      }
    }
    const error = await refusal({ entities: [Seat, SeatByNumber], providers: [Seats] });
    expect(error).toBeInstanceOf(DuplicateEntityError);
    expect(error.message).toMatch(
      /^Seats\.events is an event source of Seat, and SeatByNumber maps the same table \(seat\)/,
    );
    expect((await refusal({ entities: [Seat, SeatByNumber] })).message).toBe('it started');
  });
});
