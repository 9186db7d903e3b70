import { Injectable } from '@nestjs/common';
import { type DeliveryReport, GroupHandler, sparkEvent } from 'nestjs-spark';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Injectable()
class Handlers {
  @GroupHandler(/^bad/, { name: 'bad', maxAttempts: 1 })
  fail() {
    throw new Error('no postage 😀');
  }

  @GroupHandler(/^good/, { name: 'good' })
  succeed() {}
}

/** Lets the database refuse certain texts in the column of errors, as one of another character set does. */
const refusals: Record<string, string[]> = {
  SQLite: [
    `CREATE TRIGGER refuse BEFORE UPDATE ON spark_delivery WHEN NEW.last_error GLOB '*{text}*'
     BEGIN SELECT RAISE(ABORT, 'incorrect string value'); END`,
  ],
  PostgreSQL: [`ALTER TABLE spark_delivery ADD CHECK (last_error NOT LIKE '%{text}%')`],
  MariaDB: [`ALTER TABLE spark_delivery ADD CONSTRAINT refuse CHECK (last_error NOT LIKE '%{text}%')`],
};

describe.each(databases)('an end that cannot be written down blocks nobody, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let reports: DeliveryReport[];

  beforeEach(async () => {
    db = await database.create();
    reports = [];
    const worker = { concurrency: 4, pollInterval: '50ms', leaseTtl: '2s', leaseRenewal: '300ms' };
    app = await startApp({ database: db, entities: [], providers: [Handlers], spark: { worker } });
    app.spark.deliveries$.subscribe((report) => reports.push(report));
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const refuse = async (text: string) => {
    for (const sql of refusals[database.name]!) await app.dataSource.query(sql.replace('{text}', text));
  };
  const bad = Array.from({ length: 12 }, (_, i) => sparkEvent('bad', i));
  const good = Array.from({ length: 4 }, (_, i) => sparkEvent('good', i));

  it('an error with characters that the column cannot hold is kept without them', async () => {
    await refuse('😀');
    await app.spark.emit(bad);
    await app.spark.emit(good);
    await vi.waitFor(() => expect(reports).toHaveLength(16), 20_000);
    const rows = await app.dataSource.query(
      `SELECT handler, state, last_error FROM spark_delivery ORDER BY handler DESC, id`,
    );
    expect(rows.map((row: any) => row.state)).toEqual([...good.map(() => 'completed'), ...bad.map(() => 'discarded')]);
    expect(rows.at(-1).last_error).toContain('Error: no postage ?');
  });

  it('an error that the column refuses in any form is left to the log', async () => {
    await refuse('postage');
    await app.spark.emit(bad);
    await app.spark.emit(good);
    await vi.waitFor(() => expect(reports).toHaveLength(16), 20_000);
    const rows = await app.dataSource.query(`SELECT state, last_error FROM spark_delivery WHERE handler = 'bad'`);
    expect(rows).toEqual(
      bad.map(() => ({ state: 'discarded', last_error: 'the database refuses the text of its error; the log has it' })),
    );
    expect(app.logs.join('\n')).toContain('Error: no postage');
    // They are of one kind all the same.
    expect((await app.spark.errors()).records).toMatchObject([{ handler: 'bad', deliveries: bad.length }]);
  });
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
    await app.spark.drain();
    await vi.waitFor(async () => {
      const rows = await app.dataSource.query(
        'SELECT state, attempt, suspect, COUNT(*) AS n FROM spark_delivery GROUP BY state, attempt, suspect',
      );
      expect(rows.map((row: any) => [row.state, Number(row.attempt), Number(row.suspect), Number(row.n)])).toEqual([
        ['available', 0, 1, 70_000],
      ]);
    }, 60_000);
    await app.close();
    await db.drop();
  }, 90_000);
});
