import { TestClock } from 'nestjs-spark/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

const MINUTE = 60_000;
const ROWS = 5_000;

describe.each(databases)('rates of many events, on $name,', (database) => {
  const clock = new TestClock('2026-03-01T10:00:00Z');
  let db: TestDatabase;
  let app: TestApp;

  beforeAll(async () => {
    db = await database.create();
    app = await startApp({ database: db, entities: [], clock });
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  /** Events of one minute, by SQL. */
  async function insert(count: number, minute: number): Promise<void> {
    const [column, value] = database.name === 'MariaDB' ? [', token', `, 'token'`] : ['', ''];
    const at = clock.now() + minute * MINUTE;
    for (let first = 0; first < count; first += ROWS) {
      const rows = Array.from({ length: ROWS }, (_, i) => `('many_${minute}_${first + i}', 'many', 0, ${at}${value})`);
      const into = `INSERT INTO spark_event (event_key, event_group, depth, recorded_at${column})`;
      await app.dataSource.query(`${into} VALUES ${rows.join()}`);
    }
  }

  it('leave out minutes that are not complete', async () => {
    await insert(60_000, -2);
    expect(await app.spark.rates({ within: '4m' })).toMatchObject({
      isCut: false,
      minutes: [{ events: 0 }, { events: 60_000, deliveries: 0 }, { events: 0 }, { events: 0 }],
    });
    await insert(45_000, -1);
    expect(await app.spark.rates({ within: '4m' })).toMatchObject({
      isCut: true,
      minutes: [
        { at: new Date(clock.now() - MINUTE), events: 45_000 },
        { at: new Date(clock.now()), events: 0 },
      ],
    });
  });
});
