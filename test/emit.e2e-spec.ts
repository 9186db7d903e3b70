import { NoTransactionError, sparkEvent } from 'nestjs-spark';
import type { EntityManager } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { Row } from './support/row.entity.js';

describe.each(databases)('emitted events exist if and only if their transaction commits, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let manager: EntityManager;
  let received: string[];

  beforeAll(async () => {
    db = await database.create();
    app = await startApp({ database: db, entities: [Row], spark: { worker: false } });
    manager = app.dataSource.manager;
    app.spark.events$.subscribe(({ key }) => received.push(key));
  });
  beforeEach(async () => {
    await manager.query('DELETE FROM spark_event');
    received = [];
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const emit = (m: EntityManager, ...ids: string[]) =>
    app.spark.emit(
      ids.map((id) => sparkEvent('emitted', id)),
      { manager: m },
    );
  const keys = async () => {
    const rows: { event_key: string }[] = await manager.query('SELECT event_key FROM spark_event ORDER BY event_key');
    return rows.map(({ event_key: key }) => key);
  };
  const fail = () => {
    throw new Error('on purpose');
  };

  it('one that commits; they are published after it', async () => {
    await manager.transaction(async (m) => {
      await emit(m, 'a', 'b', 'a');
      expect(received).toEqual([]);
    });
    expect(await keys()).toEqual(['emitted_a', 'emitted_b']);
    expect(received).toEqual(await keys());
  });

  it('one that is rolled back', async () => {
    await expect(manager.transaction((m) => emit(m, 'a').then(fail))).rejects.toThrow('on purpose');
    expect([await keys(), received]).toEqual([[], []]);
  });

  it('a nested one that is released, within one that commits and one that does not', async () => {
    const nested = (m: EntityManager, id: string) => m.transaction((inner) => emit(inner, id));
    await manager.transaction((m) => nested(m, 'a'));
    await expect(manager.transaction((m) => nested(m, 'b').then(fail))).rejects.toThrow('on purpose');
    expect(await keys()).toEqual(['emitted_a']);
  });

  it('a nested one that failed and was swallowed', async () => {
    await manager.transaction(async (m) => {
      await emit(m, 'before');
      await m.transaction((inner) => emit(inner, 'within').then(fail)).catch(() => undefined);
      await emit(m, 'after');
    });
    expect(await keys()).toEqual(['emitted_after', 'emitted_before']);
  });

  it('without a transaction it is refused', async () => {
    await expect(emit(manager, 'a')).rejects.toThrow(NoTransactionError);
    expect(await keys()).toEqual([]);
  });

  it('many that enter the same keys, each in another order, do not dead-lock', async () => {
    const ids = Array.from({ length: 30 }, (_, i) => String(i).padStart(2, '0'));
    const shuffled = () => [...ids].sort(() => Math.random() - 0.5);
    for (let round = 0; round < 15; round++) {
      const writers = Array.from({ length: 8 }, () =>
        manager.transaction((m) => emit(m, ...shuffled().map((id) => `${round}-${id}`))),
      );
      await Promise.all(writers);
    }
    expect(await keys()).toHaveLength(15 * ids.length);
    expect(received).toHaveLength(15 * ids.length);
  });
});
