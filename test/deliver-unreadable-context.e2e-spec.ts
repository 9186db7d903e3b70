import { Injectable } from '@nestjs/common';
import { type DeliveryReport, EventSource, GroupHandler, type SparkEvent, sparkEvent } from 'nestjs-spark';
import { Column, Entity, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { aroundStatements } from './support/query-runners.js';

let hidden = '';

class Money {
  readonly #cents: number;
  constructor(cents: number) {
    this.#cents = cents;
  }
  get cents() {
    return this.#cents;
  }
}

@Entity()
class Invoice {
  #note = 'untouched';
  @PrimaryGeneratedColumn() id: number;
  @Column({
    type: 'int',
    transformer: { to: (money?: Money) => money?.cents, from: (cents: number) => new Money(cents) },
  })
  total: Money;
  @Column({ type: 'json', nullable: true }) lines: { text: string }[] | null;
  @Column({ precision: 3, nullable: true }) sent: Date;

  note(text?: string) {
    if (text !== undefined) this.#note = text;
    return this.#note;
  }
}

@Entity()
class Fragile {
  @PrimaryColumn() id: number;
  @Column({
    transformer: {
      to: (text: string) => text,
      from: (text: string) => {
        if (text === hidden) throw new Error('the key of this row is lost');
        return text;
      },
    },
  })
  text: string;
}

@Injectable()
class Events {
  @EventSource(Fragile, { live: false })
  *fragile(fragile: Fragile) {
    yield sparkEvent('fragile', fragile.id, { fragile });
  }
}

const seen: string[] = [];

@Injectable()
class Handlers {
  @GroupHandler(/^fragile/, { name: 'reads', maxAttempts: 1 })
  read({ key }: SparkEvent) {
    seen.push(key);
  }

  @GroupHandler(/^invoice/, { name: 'first', maxAttempts: 1 })
  first({ context: { invoice } }: SparkEvent<{ invoice: Invoice }>) {
    seen.push([invoice.total.cents, invoice.note(), invoice.lines?.[0]?.text, invoice.sent?.toISOString()].join(' '));
    invoice.note('spoilt');
    if (invoice.lines) invoice.lines[0]!.text = 'spoilt';
    invoice.sent?.setTime(0);
    invoice.total = new Money(0);
  }

  @GroupHandler(/^invoice/, { name: 'second', maxAttempts: 1 })
  second(event: SparkEvent<{ invoice: Invoice }>) {
    this.first(event);
  }
}

describe.each(databases)('one delivery that cannot be read harms no other, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let reports: DeliveryReport[] = [];

  const start = async () => {
    // It handles only when the test calls `drain`.
    const spark = { worker: false as const };
    app = await startApp({ database: db, entities: [Fragile, Invoice], providers: [Events, Handlers], spark });
    app.spark.deliveries$.subscribe((report) => reports.push(report));
  };
  beforeEach(async () => {
    db = await database.create();
    reports = [];
    seen.length = 0;
    hidden = '';
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const rows = () =>
    app.dataSource.query(
      'SELECT e.event_key, d.state, d.attempt, d.last_error FROM spark_delivery d JOIN spark_event e ON e.id = d.event_id ORDER BY e.id',
    );
  const fragile = (id: number) => Object.assign(new Fragile(), { id, text: `text ${id}` });
  const emit = async (ids: number[]) => {
    await app.dataSource.manager.save(ids.map(fragile));
    await app.spark.emit(ids.map((id) => sparkEvent('fragile', id, { fragile: fragile(id) })));
  };

  it('a row whose value cannot be read fails alone, with its own error', async () => {
    await start();
    await app.dataSource.manager.save([1, 2, 3, 4, 5, 6, 7].map(fragile));
    hidden = 'text 5';
    await app.spark.emit([1, 2, 3, 4, 5, 6, 7].map((id) => sparkEvent('fragile', id, { fragile: fragile(id) })));
    await app.spark.drain();
    expect([...seen].sort()).toEqual([1, 2, 3, 4, 6, 7].map((id) => `fragile_${id}`));
    const failed = reports.filter(({ state }) => state !== 'completed');
    expect(failed).toMatchObject([{ key: 'fragile_5', state: 'discarded', attempt: 1 }]);
    expect(failed[0]!.error).toContain('Fragile 5 in its context cannot be read: the key of this row is lost');
  });

  it('an id that the type of the key refuses fails alone', async () => {
    await start();
    await emit([1, 2, 3]);
    await app.dataSource.query(
      `UPDATE spark_event SET context = REPLACE(context, '"id":"2"', '"id":"no number"') WHERE event_key = 'fragile_2'`,
    );
    await app.spark.drain();
    expect([...seen].sort()).toEqual(['fragile_1', 'fragile_3']);
    expect(reports.filter(({ state }) => state !== 'completed')).toMatchObject([{ key: 'fragile_2' }]);
  });

  it('a table that cannot be read charges only what needs it', async () => {
    await start();
    await emit([1, 2]);
    await app.spark.emit(sparkEvent('fragile', 'plain', { plain: true }));
    await app.dataSource.query('ALTER TABLE fragile RENAME TO away');
    await app.spark.drain();
    expect(seen).toEqual(['fragile_plain']);
    const failed = reports.filter(({ state }) => state === 'discarded');
    expect(failed.map(({ key }) => key).sort()).toEqual(['fragile_1', 'fragile_2']);
    await app.dataSource.query('ALTER TABLE away RENAME TO fragile');
  });

  it('while the database does not answer nobody is charged: they wait a little, and are handled', async () => {
    await start();
    await emit([1, 2, 3]);
    // As at a lost connection: the claim has come through, and what is read for its contexts does not.
    let away = true;
    aroundStatements(app.dataSource, (statement, send) =>
      away && /fragile|SELECT 1$/i.test(statement)
        ? Promise.reject(new Error('Connection terminated unexpectedly'))
        : send(),
    );
    await app.spark.drain();
    expect(seen).toEqual([]);
    expect((await rows()).map((row: any) => [row.state, Number(row.attempt), row.last_error])).toEqual(
      [1, 2, 3].map(() => ['available', 0, null]),
    );
    expect(app.logs.filter((line) => line.includes('contexts cannot be read now'))).toHaveLength(1);
    away = false;
    await app.dataSource.query('UPDATE spark_delivery SET due_at = 0');
    await app.spark.drain();
    expect([...seen].sort()).toEqual(['fragile_1', 'fragile_2', 'fragile_3']);
    expect(reports.map(({ state, attempt }) => [state, attempt])).toEqual([1, 2, 3].map(() => ['completed', 1]));
  });

  it('private fields of entities and of their values are there, and no handler sees what another one did to them', async () => {
    await start();
    const invoice = await app.dataSource.manager.save(Object.assign(new Invoice(), { total: new Money(42) }));
    await app.spark.emit([sparkEvent('invoice', 1, { invoice }), sparkEvent('invoice', 2, { invoice })]);
    await app.spark.drain();
    expect(reports.map(({ state }) => state)).toEqual(['completed', 'completed', 'completed', 'completed']);
    expect(seen).toEqual(Array.from({ length: 4 }, () => '42 untouched  '));
  });

  it('deliveries that share an entity read it together, and each gets one of its own', async () => {
    await start();
    const sent = new Date('2026-05-01T10:00:00.123Z');
    const bill = (cents: number) =>
      Object.assign(new Invoice(), { total: new Money(cents), lines: [{ text: 'tea' }], sent });
    const [shared, other] = await app.dataSource.manager.save([bill(42), bill(7)]);
    await app.spark.emit([
      ...Array.from({ length: 4 }, (_, i) => sparkEvent('invoice', i, { invoice: shared })),
      sparkEvent('invoice', 'other', { invoice: other }),
    ]);
    const reads: string[] = [];
    aroundStatements(app.dataSource, (statement, send) => {
      if (/FROM .?invoice/i.test(statement)) reads.push(statement);
      return send();
    });
    await app.spark.drain();
    const line = (cents: number) => `${cents} untouched tea ${sent.toISOString()}`;
    expect(seen.toSorted()).toEqual([...Array.from({ length: 8 }, () => line(42)), line(7), line(7)].toSorted());
    // The ten of them are one claim, for both handlers.
    expect(reads).toHaveLength(1);
  });
});
