import { Injectable } from '@nestjs/common';
import { DiscardDelivery, EventSource, GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { TestClock } from 'nestjs-spark/testing';
import { Column, type DataSource, Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TRANSITIONS } from '../libs/spark/src/database/delivery-states.js';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { DAY } from './support/set-clock.js';

@Entity()
class Item {
  @PrimaryColumn() id: number;
  @Column({ type: 'varchar', length: 20 }) group: string;
}

@Injectable()
class Items {
  @EventSource(Item, { name: 'items' })
  *events({ id, group }: Item) {
    yield sparkEvent(group, id);
  }
}

const fails = new Set<string>();

@Injectable()
class Handlers {
  @GroupHandler(/./, { name: 'all', maxAttempts: 2 })
  handle({ key, group }: SparkEvent) {
    if (group === 'bad') throw new DiscardDelivery('it is bad');
    if (fails.delete(key)) throw new Error('once');
  }
}

@Injectable()
class Latecomers {
  @GroupHandler(/^done$/, { name: 'latecomer' }) handle() {}
}

/** Writes down each change of a delivery's state, in the order in which they are made. */
const RECORDERS: Record<string, string[]> = {
  SQLite: [
    'CREATE TABLE way (id integer PRIMARY KEY, old text, new text)',
    'CREATE TRIGGER opened AFTER INSERT ON spark_delivery BEGIN INSERT INTO way (new) VALUES (NEW.state); END',
    'CREATE TRIGGER changed AFTER UPDATE ON spark_delivery BEGIN INSERT INTO way (old, new) VALUES (OLD.state, NEW.state); END',
    'CREATE TRIGGER removed AFTER DELETE ON spark_delivery BEGIN INSERT INTO way (old) VALUES (OLD.state); END',
  ],
  PostgreSQL: [
    'CREATE TABLE way (id serial PRIMARY KEY, old text, new text)',
    `CREATE FUNCTION recorded() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       INSERT INTO way (old, new) VALUES (CASE WHEN TG_OP <> 'INSERT' THEN OLD.state END, CASE WHEN TG_OP <> 'DELETE' THEN NEW.state END);
       RETURN NULL; END $$`,
    'CREATE TRIGGER recorded AFTER INSERT OR UPDATE OR DELETE ON spark_delivery FOR EACH ROW EXECUTE FUNCTION recorded()',
  ],
  MariaDB: [
    'CREATE TABLE way (id int AUTO_INCREMENT PRIMARY KEY, old varchar(20), new varchar(20))',
    'CREATE TRIGGER opened AFTER INSERT ON spark_delivery FOR EACH ROW INSERT INTO way (new) VALUES (NEW.state)',
    'CREATE TRIGGER changed AFTER UPDATE ON spark_delivery FOR EACH ROW INSERT INTO way (old, new) VALUES (OLD.state, NEW.state)',
    'CREATE TRIGGER removed AFTER DELETE ON spark_delivery FOR EACH ROW INSERT INTO way (old) VALUES (OLD.state)',
  ],
};

describe.each(databases)('the states of a delivery, on $name', (database) => {
  let db: TestDatabase;
  let clock: TestClock;
  const apps: TestApp[] = [];

  beforeEach(async () => {
    db = await database.create();
    clock = new TestClock('2026-06-01T12:00:00Z');
  });
  afterEach(async () => {
    for (const app of apps.splice(0)) await app.close();
    await db.drop();
  });

  const start = async (spark: object = {}, ...more: (new () => object)[]): Promise<TestApp> => {
    const providers = [Items, Handlers, ...more];
    const retention = { completed: '10d', discarded: '20d' };
    const options = { activation: { limit: 2 }, retention, ...spark };
    const app = await startApp({ database: db, entities: [Item], providers, clock, spark: options });
    apps.push(app);
    return app;
  };
  const insert = (dataSource: DataSource, group: string, ...ids: number[]) =>
    dataSource.query(
      `INSERT INTO item (id, ${dataSource.driver.escape('group')}) VALUES ${ids.map((id) => `(${id}, '${group}')`).join()}`,
    );

  it('change in the ways that the table of the library has, and in no others', async () => {
    const { dataSource, spark } = await start();
    for (const sql of RECORDERS[database.name]!) await dataSource.query(sql);

    // Opened held by a first sweep: discarded, released.
    await insert(dataSource, 'given_up', 1, 2, 3);
    await insert(dataSource, 'wanted', 4, 5, 6);
    await spark.sweep();
    await spark.discard('given_up');
    await spark.release('wanted');
    // Opened available: completed, tried again, discarded by the handler, by hand, and skipped.
    fails.add('fails_11').add('fails_12');
    const until = new Date(clock.now() + 1);
    await spark.emit([
      ...['done_10', 'fails_11', 'fails_12', 'bad_13'].map((key) => sparkEvent(key.split('_')[0]!, key.split('_')[1]!)),
      sparkEvent('late', 14, undefined, { until }),
    ]);
    clock.set(clock.now() + 1);
    await spark.drain();
    await spark.retry({ key: 'fails_11' });
    await spark.discard({ key: 'fails_12' });
    await spark.drain();
    // A process that died, one that was not answered, and one that lacks what a delivery needs.
    await spark.emit(sparkEvent('rescued', 20));
    const running = `UPDATE spark_delivery SET state = 'running', attempt = 1, claimed_by = 'gone' WHERE state = 'available'`;
    await dataSource.query(running);
    const { lease } = (spark as unknown as { spark: { lease: { stop(): Promise<void> } } }).spark;
    await lease.stop();
    await spark.drain();
    // Once more: what ended in each way.
    await spark.retry({ key: 'bad_13' });
    await spark.drain();
    await spark.replay({ handler: 'all', repeat: true });
    await spark.drain();
    // For a handler that is new.
    const late = await start({}, Latecomers);
    await late.spark.replay({ handler: 'latecomer', since: new Date(clock.now() - DAY) });
    await late.spark.drain();
    // A baseline.
    await insert(dataSource, 'history', 30);
    await spark.baseline(Item);
    // Removed: at once, or when their time is over.
    await (apps.splice(apps.indexOf(late), 1)[0] as TestApp).close();
    const brief = await start({ history: false });
    await brief.spark.emit(sparkEvent('brief', 40));
    await brief.spark.drain();
    clock.set(clock.now() + 30 * DAY);
    const { retention } = (spark as unknown as { spark: { retention: { prune(now: number): Promise<unknown> } } })
      .spark;
    await retention.prune(clock.now());

    const rows: { old: string | null; new: string | null }[] = await dataSource.query(
      'SELECT DISTINCT old, new FROM way',
    );
    const text = (from: string | null, to: string | null) => `${from ?? 'opened'} → ${to ?? 'removed'}`;
    const seen = rows.map((row) => text(row.old, row.new)).filter((way) => !/^(running|completed) → \1$/.test(way));
    const known = new Set(TRANSITIONS.map(({ from, to }) => text(from, to)));
    expect(seen.toSorted()).toEqual([...known].toSorted());
  });
});
