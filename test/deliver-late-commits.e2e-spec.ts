import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { GroupHandler, sparkEvent } from 'nestjs-spark';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

const BACKLOG = 2_000;
let handled = { late: 0, busy: 0 };

@Injectable()
class Handlers {
  @GroupHandler(/^late/, { name: 'late' })
  late() {
    handled.late++;
  }

  @GroupHandler(/^busy/, { name: 'busy' })
  async busy() {
    await delay(5);
    handled.busy++;
  }
}

describe.each(databases)('a delivery that becomes visible long after it is due, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;

  beforeEach(async () => {
    db = await database.create();
    handled = { late: 0, busy: 0 };
    app = await startApp({ database: db, entities: [], providers: [Handlers], spark: { worker: { concurrency: 2 } } });
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  it('is handled soon, even if all claims find others', async () => {
    await app.spark.emit(sparkEvent('late', 1));
    await vi.waitFor(() => expect(handled.late).toBe(1), 15_000);
    await app.spark.emit(Array.from({ length: BACKLOG }, (_, i) => sparkEvent('busy', i)));
    await vi.waitFor(() => expect(handled.busy).toBeGreaterThan(5), 15_000);
    // As if its transaction had begun an hour ago.
    await app.dataSource.query(
      `UPDATE spark_delivery SET state = 'available', due_at = due_at - 3600000 WHERE handler = 'late'`,
    );
    await vi.waitFor(() => expect(handled.late).toBe(2), 15_000);
    expect(handled.busy).toBeLessThan(BACKLOG);
  });
});
