import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, RetryLater, sparkEvent } from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp, type TestAppOptions } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Task {
  @PrimaryColumn() id: number;
  /** Epoch ms. */
  @Column({ type: 'varchar', length: 20, nullable: true }) due: string | null;
}

@Injectable()
class Due {
  @EventSource(Task, { name: 'due' })
  *due({ id, due }: Task) {
    if (due !== null) yield sparkEvent('due', id, undefined, { at: new Date(Number(due)), occurrence: due });
  }
}

@Injectable()
class Completes {
  @GroupHandler(/^due$/, { name: 'completes' })
  handle() {}
}

@Injectable()
class Waits {
  @GroupHandler(/^due$/, { name: 'waits' })
  handle() {
    throw new RetryLater('1d');
  }
}

// Retention in an application with the process's clock: repair-and-retention.e2e-spec.ts
describe.each(databases)('retention goes by the clock, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;

  beforeEach(async () => {
    db = await database.create();
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const start = async (options: Partial<TestAppOptions>) =>
    (app = await startApp({ database: db, entities: [Task], ...options }));
  const keys = async (): Promise<string[]> => {
    const rows: { event_key: string }[] = await app.dataSource.query('SELECT event_key FROM spark_event ORDER BY id');
    return rows.map((row) => row.event_key);
  };

  it('retention removes what is over where a test lets time pass', async () => {
    const clock = new TestClock();
    await start({ providers: [Due, Completes], clock, spark: { retention: { completed: '2d' } } });
    const kit = new SparkTestKit(app.app);
    await app.dataSource.manager.save(Task, { id: 1, due: String(clock.now()) });
    await kit.drain();
    await kit.advance('1d');
    expect(await kit.deliveries()).toHaveLength(1);
    await kit.advance('2d');
    expect(await kit.deliveries()).toEqual([]);
    expect(await keys()).toHaveLength(1);
  });

  it('retention keeps the key of an event as long as a delivery of it is left', async () => {
    const clock = new TestClock();
    await start({ providers: [Due, Waits], clock, spark: { retention: { completed: '1d', keys: { due: '1d' } } } });
    const kit = new SparkTestKit(app.app);
    await app.dataSource.manager.save(Task, { id: 1, due: String(clock.now()) });
    await kit.drain();
    await app.dataSource.manager.save(Task, { id: 1, due: null });
    await kit.advance('5d');
    expect(await kit.deliveries()).toMatchObject([{ state: 'available' }]);
    expect(await keys()).toHaveLength(1);
  });
});
