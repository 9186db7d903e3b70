import { Injectable } from '@nestjs/common';
import { BootLockError, GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { format } from 'mysql2';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { hasPgBouncer, startPgBouncer } from './support/pgbouncer.js';

@Injectable()
class Handlers {
  readonly handled: string[] = [];

  @GroupHandler(/./, { name: 'note' })
  handle({ key }: SparkEvent) {
    this.handled.push(key);
  }
}

describe.each(databases)('many processes start at once, on $name', (database) => {
  let db: TestDatabase;
  const apps: TestApp[] = [];

  beforeEach(async () => {
    db = await database.createEmpty();
  });
  afterEach(async () => {
    for (const app of apps.splice(0)) await app.close();
    await db.drop();
  });

  const start = async (options: DataSourceOptions = db.options, spark = {}) => {
    const at = { ...db, options: { ...options, poolSize: 3 } as DataSourceOptions };
    const app = await startApp({ database: at, entities: [], providers: [Handlers], spark });
    apps.push(app);
    return app;
  };

  it('and all of them work', async () => {
    const [first] = await Promise.all(Array.from({ length: 4 }, () => start()));
    await first!.spark.emit(sparkEvent('note', 1));
    await first!.spark.drain();
    const [row] = await first!.dataSource.query('SELECT COUNT(*) AS n FROM spark_handler');
    expect(Number(row.n)).toBe(1);
  });

  it.runIf(database.name === 'PostgreSQL')('and no lock outlasts a transaction', async () => {
    const app = await start();
    const locks = `SELECT COUNT(*) AS n FROM pg_locks l JOIN pg_database d ON d.oid = l.database
      WHERE l.locktype = 'advisory' AND d.datname = current_database()`;
    expect(Number((await app.dataSource.query(locks))[0].n)).toBe(0);
  });

  it.runIf(database.name === 'PostgreSQL' && hasPgBouncer)(
    'behind PgBouncer in transaction mode, where it is installed',
    async () => {
      const pooler = await startPgBouncer((db.options as { url: string }).url);
      try {
        const pooled = { ...db.options, url: pooler.url } as DataSourceOptions;
        const spark = { postgres: { prepare: false }, worker: { pollInterval: '50ms' } } as const;
        const started = await Promise.all(Array.from({ length: 8 }, () => start(pooled, spark)));
        await started[0]!.spark.emit(sparkEvent('note', 1));
        for (const app of started) await app.spark.drain();
        const handled = started.flatMap(({ app }) => app.get(Handlers).handled);
        expect(handled).toEqual(['note_1']);
      } finally {
        for (const app of apps.splice(0)) await app.close();
        await pooler.stop();
      }
    },
  );

  describe.runIf(database.name === 'MariaDB')('on one server', () => {
    const held = async (lock: string, work: () => Promise<void>) => {
      const holding = await new DataSource({ ...db.options }).initialize();
      const runner = holding.createQueryRunner();
      await runner.query(lock);
      try {
        await work();
      } finally {
        await runner.release();
        await holding.destroy();
      }
    };
    const lockOf = (name: string) => `SELECT GET_LOCK(CONCAT('nestjs-spark-', SHA1('${name}.spark_event')), 0)`;

    it('and those of another database are not waited for', async () => {
      await held(lockOf('another_database'), async () => void (await start()));
    });

    it('and one that cannot have the lock of its database says so, and goes on without it nowhere', async () => {
      const { pathname } = new URL((db.options as { url: string }).url);
      await held(lockOf(pathname.slice(1)), async () => {
        // The test does not wait for the minute that a process waits.
        const queryFormat = (sql: string, values: any[]) => format(sql.replace(', 60)', ', 0)'), values);
        const hurried = { ...db.options, extra: { queryFormat } } as DataSourceOptions;
        await expect(start(hurried)).rejects.toThrow(BootLockError);
      });
    });
  });
});
