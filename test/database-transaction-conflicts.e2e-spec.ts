import { Injectable } from '@nestjs/common';
import { GroupHandler, sparkEvent } from 'nestjs-spark';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Injectable()
class Handlers {
  @GroupHandler(/^thing/, { name: 'things' }) thing() {}
}

/** What a server says when two transactions collide, by a trigger that fails at the first delivery that is opened. */
const COLLISIONS = {
  PostgreSQL: { 'a serialization failure': '40001', 'a dead-lock': '40P01' },
  MariaDB: { 'a dead-lock': '1213', 'a lock that was waited for too long': '1205' },
};

describe.each(databases.filter(({ name }) => name !== 'SQLite'))('what collides is run again, on $name', (database) => {
  const collisions = COLLISIONS[database.name as keyof typeof COLLISIONS];
  let db: TestDatabase;
  let app: TestApp;

  beforeAll(async () => {
    db = await database.create();
    app = await startApp({ database: db, entities: [], providers: [Handlers], spark: { worker: false } });
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  // How often it has failed survives the rollback: a sequence and a table without transactions do.
  const failOnce = async (code: string) => {
    const statements =
      database.name === 'PostgreSQL'
        ? [
            'CREATE SEQUENCE IF NOT EXISTS failures',
            `SELECT setval('failures', 1, false)`,
            `CREATE OR REPLACE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF nextval('failures') = 1 THEN RAISE EXCEPTION 'they collided' USING ERRCODE = '${code}'; END IF;
               RETURN NEW; END $$`,
            'CREATE OR REPLACE TRIGGER collides BEFORE INSERT ON spark_delivery FOR EACH ROW EXECUTE FUNCTION fail_once()',
          ]
        : [
            'CREATE OR REPLACE TABLE failures (n int) ENGINE = MyISAM',
            'INSERT INTO failures VALUES (0)',
            `CREATE OR REPLACE TRIGGER collides BEFORE INSERT ON spark_delivery FOR EACH ROW BEGIN
               UPDATE failures SET n = n + 1;
               IF (SELECT n FROM failures) = 1 THEN SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = ${code}, MESSAGE_TEXT = 'they collided'; END IF;
             END`,
          ];
    for (const sql of statements) await app.dataSource.query(sql);
  };

  it.each(Object.entries(collisions))(
    '%s: the transaction is run once more, and nobody notices it',
    async (_, code) => {
      await failOnce(code);
      const emitted = await app.spark.emit(sparkEvent('thing', code));
      expect(emitted).toMatchObject([{ key: `thing_${code}` }]);
      await app.spark.drain();
      const rows = await app.dataSource
        .query(`SELECT d.state FROM spark_delivery d JOIN spark_event e ON e.id = d.event_id
      WHERE e.event_key = 'thing_${code}'`);
      expect(rows).toEqual([{ state: 'completed' }]);
    },
  );
});
