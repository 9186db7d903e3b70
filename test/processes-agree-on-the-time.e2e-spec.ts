import { Injectable } from '@nestjs/common';
import { EventSource, type SourceScope, sparkEvent } from 'nestjs-spark';
import { Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { MINUTE } from './support/set-clock.js';

@Entity()
class Thing {
  @PrimaryGeneratedColumn() id: number;
}

@Injectable()
class Things {
  seen: number[] = [];
  hangs = false;

  @EventSource(Thing)
  async events({ id }: Thing, { now }: SourceScope) {
    this.seen.push(now.getTime());
    if (this.hangs) await new Promise(() => undefined);
    return [sparkEvent('thing', id)];
  }
}

describe.each(databases)('processes agree on the time, on $name', (database) => {
  const clock = Date.now.bind(Date);
  let db: TestDatabase;
  let app: TestApp;

  const start = async (ahead: number, shutdownTimeout?: string) => {
    vi.spyOn(Date, 'now').mockImplementation(() => clock() + ahead);
    app = await startApp({ database: db, entities: [Thing], providers: [Things], spark: { shutdownTimeout } });
  };
  const differenceNow = async () => {
    await app.dataSource.manager.save(new Thing());
    await app.spark.drain();
    return app.app.get(Things).seen.at(-1)! - clock();
  };
  beforeEach(async () => {
    db = await database.create();
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await app.close();
    await db.drop();
  });

  it.each([5 * MINUTE, -5 * MINUTE])(
    'where the clock of one is %i ms ahead: they go by that of the database',
    async (ahead) => {
      await start(ahead);
      expect(Math.abs(await differenceNow())).toBeLessThan(MINUTE);
      expect(app.logs.join('\n')).toMatch(/warn The database's clock is -?\d+ ms ahead of this process's/);
    },
  );

  it('where they differ by less than a second: each goes by its own', async () => {
    await start(500);
    expect(app.logs.join('\n')).not.toContain("database's clock");
    const before = Date.now();
    await differenceNow();
    expect(app.app.get(Things).seen.at(-1)).toBeGreaterThanOrEqual(before);
  });

  it('and a source that waits for ever does not keep the process from ending', async () => {
    await start(0, '300ms');
    app.app.get(Things).hangs = true;
    await app.dataSource.manager.save(new Thing());
    await vi.waitFor(() => expect(app.app.get(Things).seen).toHaveLength(1));
    const started = performance.now();
    await app.close();
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(app.logs.join('\n')).toMatch(/A look or a sweep was still at work after 300 ms/);
  });
});
