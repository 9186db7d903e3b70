import { Injectable } from '@nestjs/common';
import { GroupHandler, MissingPartError, SparkModule, sparkEvent } from 'nestjs-spark';
import { DataSource } from 'typeorm';
import { RawSqlResultsToEntityTransformer } from 'typeorm/query-builder/transformer/RawSqlResultsToEntityTransformer.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Injectable()
class Handlers {
  readonly handled: string[] = [];
  @GroupHandler(/./, { name: 'all' }) handle({ key }: { key: string }) {
    this.handled.push(key);
  }
}

/** An object that seems to lack what a path ends at, as in another version of its package. */
function without<T extends object>(object: T, [name, ...rest]: readonly string[]): T {
  return new Proxy(object, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (key === name && rest.length === 0) return undefined;
      if (key === name) return without(value as object, rest);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

interface Driver {
  master: object;
  pool: object;
  obtainMasterConnection(): Promise<[object, unknown] | object>;
}

/** Hides a part of the pool of a DataSource, or of its connections. */
function hide(dataSource: DataSource, path: string): void {
  const driver = dataSource.driver as unknown as Driver;
  const [root, pool, ...names] = path.split('.');
  if (root === 'driver') {
    driver[pool as 'pool'] = without(driver[pool as 'pool'], names);
    return;
  }
  const obtain = driver.obtainMasterConnection.bind(driver);
  driver.obtainMasterConnection = async () => {
    const connection = await obtain();
    return Array.isArray(connection) ? [without(connection[0], names), connection[1]] : without(connection, names);
  };
}

/** What each driver can lack, and what does not work then. */
const PARTS: Record<string, [path: string, words: string][]> = {
  SQLite: [],
  PostgreSQL: [
    ['driver.master._clients', 'stops answering'],
    ['driver.master._idle', 'stops answering'],
    ['driver.master._remove', 'stops answering'],
    ['runner.databaseConnection.connection.stream.destroy', 'stops answering'],
    ['runner.databaseConnection._connecting', 'never opens'],
    ['runner.databaseConnection._connected', 'never opens'],
    ['runner.databaseConnection.processID', 'keeps its locks'],
  ],
  MariaDB: [
    ['driver.pool._allConnections.get', 'stops answering'],
    ['driver.pool._freeConnections.get', 'stops answering'],
    ['runner.databaseConnection.stream.destroy', 'stops answering'],
    ['runner.databaseConnection._handshakePacket', 'never opens'],
    ['runner.databaseConnection.threadId', 'keeps its locks'],
  ],
};

describe.each(databases)('what Spark reaches for in other packages is checked at boot, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp | undefined;

  beforeEach(async () => {
    db = await database.create();
  });
  afterEach(async () => {
    await app?.close();
    app = undefined;
    await db.drop();
  });

  const start = async (hidden: readonly string[]) => {
    const spark = SparkModule.forRootAsync({
      inject: [DataSource],
      useFactory: (dataSource: DataSource) => {
        for (const path of hidden) hide(dataSource, path);
        return { statementTimeout: '2s' };
      },
    });
    app = await startApp({ database: db, entities: [], providers: [Handlers], spark });
    return app;
  };
  const lacking = ({ logs }: TestApp) => logs.filter((line) => line.includes(' lacks '));

  it('where all is there, nothing is said', async () => {
    expect(lacking(await start([]))).toEqual([]);
  });

  it.each(PARTS[database.name]!)(
    '%s is missed once, with what does not work, and all else does',
    async (path, words) => {
      const { spark, logs, app: context } = await start([path]);
      const lines = lacking({ logs } as TestApp);
      expect(lines).toHaveLength(1);
      expect(lines[0]).toMatch(/^warn (pg|mysql2) \d+\.\d+\.\d+ lacks /);
      expect(lines[0]).toContain(` lacks ${path}, a private part of it`);
      expect(lines[0]).toContain(words);
      expect(lines[0]).toMatch(/Install the version that you had before, or a release of nestjs-spark/);
      await spark.emit(sparkEvent('thing', 1));
      await spark.drain();
      expect(context.get(Handlers).handled).toEqual(['thing_1']);
    },
  );

  it.runIf(database.name !== 'SQLite')('a statement without an answer is given up without them, too', async () => {
    const paths = PARTS[database.name]!.map(([path]) => path);
    const { spark } = await start(paths);
    const other = await new DataSource(db.options).initialize();
    const runner = other.createQueryRunner();
    try {
      const isPostgres = database.name === 'PostgreSQL';
      if (isPostgres) await runner.startTransaction();
      await runner.query(isPostgres ? 'LOCK TABLE spark_handler' : 'LOCK TABLES spark_handler WRITE');
      await expect(spark.status()).rejects.toThrow('did not answer');
      await (isPostgres ? runner.rollbackTransaction() : runner.query('UNLOCK TABLES'));
      expect((await spark.status()).running).toEqual([]);
    } finally {
      await runner.release();
      await other.destroy();
    }
  });

  it('without what Spark cannot do without, it does not start, and says what it lacks', async () => {
    const prototype = RawSqlResultsToEntityTransformer.prototype as unknown as { group?: unknown };
    const { group } = prototype;
    delete prototype.group;
    try {
      const refusal = start([]);
      await expect(refusal).rejects.toThrow(MissingPartError);
      await expect(refusal).rejects.toThrow(
        /^typeorm \d+\.\d+\.\d+ lacks RawSqlResultsToEntityTransformer\.group, a private part of it that Spark needs\. Install/,
      );
    } finally {
      prototype.group = group;
    }
  });
});
