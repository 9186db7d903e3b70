import { Injectable } from '@nestjs/common';
import { EventSource, type SourceScope, sparkEvent } from 'nestjs-spark';
import mysql2 from 'mysql2';
import { randomUUID } from 'node:crypto';
import { DataSource, Entity, PrimaryGeneratedColumn } from 'typeorm';
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
  /** What it waits for, if for anything. */
  until: Promise<void> | undefined;

  @EventSource(Thing)
  async events({ id }: Thing, { now }: SourceScope) {
    this.seen.push(now.getTime());
    await this.until;
    return [sparkEvent('thing', id)];
  }
}

describe.each(databases)('processes agree on the time, on $name', (database) => {
  const clock = Date.now.bind(Date);
  let db: TestDatabase;
  let app: TestApp;

  const start = async (offset: number, shutdownTimeout?: string) => {
    vi.spyOn(Date, 'now').mockImplementation(() => clock() + offset);
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
    async (offset) => {
      await start(offset);
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
    let end!: () => void;
    app.app.get(Things).until = new Promise((resolve) => (end = resolve));
    await app.dataSource.manager.save(new Thing());
    await vi.waitFor(() => expect(app.app.get(Things).seen).toHaveLength(1));
    const started = performance.now();
    await app.close();
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(app.logs.join('\n')).toMatch(/A recheck or a sweep was still running after 300 ms/);
    // What it says later is for no log of another test.
    end();
    await vi.waitFor(() => expect(app.logs.join('\n')).toContain('The rechecks of Thing failed'));
  });

  it('in the hour that summer time repeats as in any other', async (context) => {
    if (database.name !== 'MariaDB') return startAt('UTC');
    const admin = await new DataSource(db.options).initialize();
    const zone = await zoneWhoseSummerEndedJustNow(admin, 30 * 60).catch(() => undefined);
    if (!zone) {
      await admin.destroy();
      await startAt('UTC');
      context.skip('this server lets nobody make a time zone');
    }
    await startAt(zone!.name);
    const [row] = await app.dataSource.query('SELECT @@session.time_zone AS zone');
    expect(row).toEqual({ zone: zone!.name });
    expect(Math.abs(await differenceNow())).toBeLessThan(MINUTE);
    expect(app.logs.filter((line) => line.includes('clock'))).toEqual([]);
    await zone!.drop();
    await admin.destroy();
  });

  /** Starts with the sessions of MariaDB in a time zone. */
  const startAt = async (zone: string) => {
    const driver = database.name === 'MariaDB' ? { driver: inZone(zone) } : {};
    app = await startApp({ database: db, entities: [Thing], providers: [Things], dataSource: driver });
  };
});

/** The driver of MySQL, whose sessions are in a time zone of their own. */
function inZone(zone: string): object {
  return {
    ...mysql2,
    createPool: (options: mysql2.PoolOptions) => {
      const pool = mysql2.createPool(options);
      pool.on('connection', (connection) => connection.query(`SET time_zone = '${zone}'`));
      return pool;
    },
  };
}

/** Makes a time zone on the server in which clocks went back by an hour some seconds ago. */
async function zoneWhoseSummerEndedJustNow(admin: DataSource, seconds: number) {
  const name = `Spark/${randomUUID().slice(0, 8)}`;
  const { insertId: id } = (await admin.query(`INSERT INTO mysql.time_zone (Use_leap_seconds) VALUES ('N')`)) as {
    insertId: number;
  };
  const now = Math.floor(Date.now() / 1000);
  const types = `(${id}, 0, 7200, 1, 'SUM'), (${id}, 1, 3600, 0, 'WIN')`;
  for (const sql of [
    `INSERT INTO mysql.time_zone_name (Name, Time_zone_id) VALUES ('${name}', ${id})`,
    `INSERT INTO mysql.time_zone_transition_type (Time_zone_id, Transition_type_id, \`Offset\`, Is_DST, Abbreviation) VALUES ${types}`,
    `INSERT INTO mysql.time_zone_transition (Time_zone_id, Transition_time, Transition_type_id)
     VALUES (${id}, ${now - 180 * 86_400}, 0), (${id}, ${now - seconds}, 1)`,
  ])
    await admin.query(sql);
  const tables = ['time_zone', 'time_zone_name', 'time_zone_transition_type', 'time_zone_transition'];
  const drop = async () => {
    for (const table of tables) await admin.query(`DELETE FROM mysql.${table} WHERE Time_zone_id = ${id}`);
  };
  return { name, drop };
}
