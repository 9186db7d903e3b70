import { Injectable, type Provider } from '@nestjs/common';
import { EventSource, sparkEvent } from 'nestjs-spark';
import { AbstractLogger, Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { DAY, HOUR, MINUTE, SetClock } from './support/set-clock.js';

@Entity()
class Task {
  @PrimaryColumn() id: number;
}

@Entity()
class Note {
  @PrimaryColumn() id: number;
}

@Injectable()
class Tasks {
  @EventSource(Task, { relations: {} })
  *events({ id }: Task) {
    yield sparkEvent('task', id);
  }
}

@Injectable()
class Notes {
  @EventSource(Note, { relations: {} })
  *events({ id }: Note) {
    yield sparkEvent('note', id);
  }
}

/** Whether claims of rechecks began later than at the oldest one. */
class Claims extends AbstractLogger {
  readonly beganLater: boolean[] = [];

  constructor() {
    super('all');
  }

  override logQuery(sql: string): void {
    if (/^SELECT[^]*spark_recheck[^]*taken_until/.test(sql)) this.beganLater.push(sql.includes('due_at > '));
  }

  protected writeLog(): void {}
}

/** Another process is at work on it. */
const ELSEWHERE = `'other', 9000000000000`;

describe.each(databases)('rechecks that nobody takes go, on $name', (database) => {
  let db: TestDatabase;
  let clock: SetClock;
  let claims: Claims;
  const running: TestApp[] = [];
  /** Whether a process does by itself what it does at boot, too. */
  let autoStart: boolean;

  beforeEach(async () => {
    db = await database.create();
    clock = new SetClock();
    claims = new Claims();
    autoStart = true;
  });
  afterEach(async () => {
    for (const app of running.splice(0)) await app.close();
    await db.drop();
  });

  const start = async (...providers: Provider[]) => {
    const app = await startApp({
      database: db,
      entities: [Task, Note],
      providers,
      clock,
      dataSource: { logger: claims },
      // Only what a test asks for happens.
      spark: { worker: { pollInterval: '1d' }, autoStart },
    });
    running.push(app);
    return app;
  };
  const left = async (app: TestApp) =>
    (await app.dataSource.query<{ entity: string }[]>('SELECT entity FROM spark_recheck ORDER BY entity')).map(
      ({ entity }) => entity,
    );
  const leave = (app: TestApp, entity: string, ids: number[], by = 'NULL, NULL') =>
    app.dataSource.query(
      `INSERT INTO spark_recheck (entity, entity_id, due_at, attempt, depth, taken_by, taken_until)
       VALUES ${ids.map((id) => `('${entity}', '${id}', ${clock.now()}, 0, 0, ${by})`).join()}`,
    );
  /** What a process does each minute. */
  const maintain = (app: TestApp) =>
    (app.spark as unknown as { spark: { maintenance: { run(): Promise<number> } } }).spark.maintenance.run();

  it('after 30 days, when this process has been up for an hour; what it takes itself stays', async () => {
    const app = await start(Tasks);
    await leave(app, 'gone', [1, 2]);
    await leave(app, 'task', [1], ELSEWHERE);
    await maintain(app);
    clock.pass(30 * DAY - MINUTE);
    await maintain(app);
    expect(await left(app)).toEqual(['gone', 'gone', 'task']);
    clock.pass(2 * MINUTE);
    await maintain(app);
    expect(await left(app)).toEqual(['task']);
    expect((await app.spark.status()).counts.abandonedRechecks).toBe(2);
    const lines = app.logs.filter((line) => line.includes('are removed'));
    expect(lines).toEqual([
      expect.stringMatching(/^warn Rechecks of entities of gone were due for 30 days and are removed/),
    ]);
  });

  it('but not just after a boot: a process that boots beside this one may have their entity', async () => {
    // The first maintenance is the one that the test asks for, and counts as the boot.
    autoStart = false;
    const app = await start(Tasks);
    await leave(app, 'note', [1]);
    clock.pass(60 * DAY);
    await maintain(app);
    clock.pass(HOUR - MINUTE);
    await maintain(app);
    expect(await left(app)).toEqual(['note']);
    await app.dataSource.manager.insert(Note, { id: 1 });
    const other = await start(Notes);
    await other.spark.drain();
    expect(await left(app)).toEqual([]);
    const [row] = await app.dataSource.query('SELECT event_key FROM spark_event');
    expect(row).toEqual({ event_key: 'note_1' });
  });

  it('nor by a process without a live source, which takes no rechecks', async () => {
    const app = await start();
    await leave(app, 'task', [1]);
    await maintain(app);
    clock.pass(60 * DAY);
    await maintain(app);
    expect(await left(app)).toEqual(['task']);
  });

  it('until then status() distinguishes them, and claims pass over them', async () => {
    const app = await start(Tasks);
    await leave(app, 'gone', [1, 2, 3]);
    clock.pass(HOUR);
    await app.spark.drain();
    claims.beganLater.length = 0;
    await app.dataSource.manager.insert(Task, { id: 1 });
    await vi.waitFor(async () => expect((await app.dataSource.query('SELECT * FROM spark_event')).length).toBe(1));
    expect(claims.beganLater).toContain(true);
    await leave(app, 'task', [2], ELSEWHERE);
    expect((await app.spark.status()).rechecks).toEqual({ due: 1, oldest: clock.date(), others: 3 });
  });

  it('each minute all are checked: what came late is found', async () => {
    const app = await start(Tasks);
    await app.spark.drain();
    await app.dataSource.manager.insert(Task, [{ id: 1 }, { id: 2 }]);
    await app.spark.drain();
    // As a transaction that lasted for half an hour leaves it.
    const query = (sql: string) => app.dataSource.query(sql);
    await query('DELETE FROM spark_event');
    await leave(app, 'task', [1]);
    await query(`UPDATE spark_recheck SET due_at = due_at - ${30 * MINUTE}`);
    clock.pass(MINUTE);
    await app.dataSource.manager.update(Task, { id: 2 }, { id: 2 });
    await vi.waitFor(async () => expect((await query('SELECT * FROM spark_event')).length).toBe(2));
    expect(await left(app)).toEqual([]);
  });
});
