import { Injectable } from '@nestjs/common';
import { DrainWithinError, EventSource, GroupHandler, sparkEvent, SparkService } from 'nestjs-spark';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { Row } from './support/row.entity.js';

const thrown: unknown[] = [];
const later: Promise<unknown>[] = [];

@Injectable()
class Careless {
  constructor(private readonly spark: SparkService) {}

  @EventSource(Row)
  async *rows({ id }: Row) {
    await this.spark.drain().catch((error: unknown) => thrown.push(error));
    yield sparkEvent('row', id);
  }

  @GroupHandler(/^row/, { name: 'careless' })
  async handle() {
    await this.spark.drain().catch((error: unknown) => thrown.push(error));
  }

  @GroupHandler(/^row/, { name: 'patient' })
  handleLater() {
    // When this handler has ended, it may: a test that was begun here, say.
    later.push(new Promise((resolve) => setTimeout(() => resolve(this.spark.drain()), 20)));
  }
}

describe.each(databases)('drain() within a handler or a source is refused, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;

  beforeAll(async () => {
    db = await database.create();
    app = await startApp({ database: db, entities: [Row], providers: [Careless], spark: { worker: false } });
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  it('with what to do, and everything else goes on', async () => {
    thrown.length = 0;
    await app.dataSource.manager.save(Row, { id: 1, state: 'new' });
    await app.spark.drain();
    expect(thrown.length).toBeGreaterThanOrEqual(2);
    expect(thrown.every((error) => error instanceof DrainWithinError)).toBe(true);
    expect(thrown.map(String).join()).toMatch(/the source Careless\.rows called.*the handler careless called/s);
    await Promise.all(later);
    const states = await app.dataSource.query('SELECT state FROM spark_delivery');
    expect(states).toEqual([{ state: 'completed' }, { state: 'completed' }]);
  });
});
