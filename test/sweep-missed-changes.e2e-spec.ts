import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, RetryLater, sparkEvent, type SourceScope, type SparkEvent } from 'nestjs-spark';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Task {
  @PrimaryColumn() id: number;
  @Column() state: string;
  @Column({ type: 'bigint', default: 0 }) due: string;
}

@Entity()
class Note {
  @PrimaryColumn() id: number;
}

@Injectable()
class Events {
  runs = 0;

  @EventSource(Task, { name: 'tasks' })
  *tasks({ id, state, due }: Task, { now }: SourceScope) {
    this.runs++;
    if (state === 'broken') throw new Error('broken');
    yield sparkEvent('task', id);
    if (state === 'done') yield sparkEvent('task_done', id);
    if (Number(due) > 0 && Number(due) <= now.getTime()) yield sparkEvent('task_due', id);
  }
  @EventSource(Task, { name: 'batched', batch: true })
  async batched(tasks: Task[]) {
    return tasks.filter(({ state }) => state === 'done').map(({ id }) => sparkEvent('batch_done', id));
  }
  @EventSource(Note, { name: 'notes', live: false })
  *notes({ id }: Note) {
    yield sparkEvent('note', id);
  }

  @GroupHandler(/^task$/, { name: 'mails', concurrency: 1 })
  handle({ key }: SparkEvent) {
    if (key === 'task_90') throw new RetryLater('1h');
    if (key === 'task_91') throw new Error('no');
  }
}

/** How a handler of this process is described in the status. */
const described = { patterns: [expect.any(String)], limits: expect.any(Object), lastSeen: expect.any(Date) };

describe.each(databases)('what live capture missed is counted, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;

  beforeEach(async () => {
    db = await database.create();
    await start();
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const start = async () => {
    const spark = { worker: { pollInterval: '1h' as const, maxAttempts: 1 } };
    app = await startApp({ database: db, entities: [Task, Note], providers: [Events], spark });
  };
  const sql = (statement: string) => app.dataSource.query(statement);
  const save = (id: number, state = 'new', due = 0) =>
    app.dataSource.manager.save(Task, { id, state, due: String(due) });
  const status = async (source = 'tasks') =>
    (await app.spark.status()).sources.find((candidate) => candidate.source === source)!;
  const warnings = () => app.logs.filter((line) => line.includes('live capture missed'));
  /** One task of each state, known and swept. */
  const known = async () => {
    await save(1, 'done', 1);
    await app.spark.drain();
    expect(await app.spark.sweep()).toMatchObject({ entered: 0, missed: 0 });
    expect(await app.spark.sweep()).toMatchObject({ entered: 0, missed: 0 });
  };

  it('what raw SQL has changed, once logged with the likely cause, in the report, in sweeps$ and in the status', async () => {
    await known();
    await sql(`INSERT INTO task VALUES (2, 'new', 0), (3, 'done', 0)`);
    const steps: [string, number, boolean][] = [];
    app.spark.sweeps$.subscribe(({ source, missed, done }) => steps.push([source, missed, done]));
    expect(await app.spark.sweep()).toMatchObject({ entered: 4, missed: 4 });
    expect(steps).toContainEqual(['tasks', 3, true]);
    expect(steps).toContainEqual(['batched', 1, true]);
    expect(warnings()).toEqual([expect.stringMatching(/^warn .*events of Task .*raw SQL.*listeners: false/)]);
    await app.dataSource.manager.save(Task, { id: 1, state: 'other' }, { listeners: false });
    await sql(`UPDATE task SET state = 'done' WHERE id = 2`);
    expect(await app.spark.sweep()).toMatchObject({ entered: 2, missed: 2 });
    expect(warnings()).toHaveLength(1);
    expect(await status()).toMatchObject({ foundBySweep: 4, missed: 4, entity: 'Task', finished: expect.any(Date) });
    expect(await status('batched')).toMatchObject({ foundBySweep: 2, missed: 2 });
    await app.close();
    await start();
    expect(await status()).toMatchObject({ foundBySweep: 4, missed: 4 });
  });

  it('not what only time has made true', async () => {
    await known();
    const due = Date.now() + 2_500;
    await save(2, 'new', due);
    expect(await app.spark.sweep()).toMatchObject({ entered: 0 });
    await delay(due - Date.now() + 10);
    expect(await app.spark.sweep()).toMatchObject({ entered: 1, missed: 0 });
    expect(warnings()).toEqual([]);
    expect(await status()).toMatchObject({ foundBySweep: 1, missed: 0 });
  });

  it('not what a source finds that is left to the sweep', async () => {
    await sql('INSERT INTO note VALUES (1)');
    await app.spark.sweep();
    await sql('INSERT INTO note VALUES (2)');
    expect(await app.spark.sweep()).toMatchObject({ entered: 1, missed: 0 });
    expect(await status('notes')).toMatchObject({ foundBySweep: 2, missed: 0 });
  });

  it('not what was there before a first sweep, nor what a new group finds in its own', async () => {
    await sql(`INSERT INTO task VALUES (1, 'new', 0)`);
    expect(await app.spark.sweep()).toMatchObject({ entered: 1, missed: 0 });
    await sql(`INSERT INTO task VALUES (2, 'done', 0)`);
    expect(await app.spark.sweep()).toMatchObject({ entered: 3, missed: 1 });
  });

  it('not what live capture has seen and will recheck', async () => {
    await known();
    // A recheck that nobody takes yet, as the clock of who added it is ahead, and one at an entity whose source has failed.
    await sql(`INSERT INTO task VALUES (2, 'done', 0), (3, 'done', 0), (4, 'done', 0)`);
    const rechecks = [
      `('Task', '2', ${Date.now() + 30_000}, 0, 0)`,
      `('Task', '3', ${Date.now() + 3_600_000}, 2, 0)`,
    ].join(', ');
    await sql(`INSERT INTO spark_recheck (entity, entity_id, due_at, attempt, depth) VALUES ${rechecks}`);
    expect(await app.spark.sweep()).toMatchObject({ entered: 9, missed: 3 });
  });

  it('only what is new is derived once more', async () => {
    await known();
    await sql(`INSERT INTO task VALUES (2, 'new', 0)`);
    const events = app.app.get(Events);
    events.runs = 0;
    await app.spark.sweep();
    expect(events.runs).toBe(3);
    await app.spark.sweep();
    expect(events.runs).toBe(5);
  });

  it('and the status says whether all is well', async () => {
    await known();
    expect(await app.spark.status()).toEqual({
      sources: [
        {
          source: 'batched',
          entity: 'Task',
          finished: expect.any(Date),
          foundBySweep: 0,
          missed: 0,
          sweeping: undefined,
          adopted: true,
          last: { rows: 'all', why: expect.any(String) },
        },
        {
          source: 'notes',
          entity: 'Note',
          finished: expect.any(Date),
          foundBySweep: 0,
          missed: 0,
          sweeping: undefined,
          adopted: true,
          last: { rows: 'all', why: expect.any(String) },
        },
        {
          source: 'tasks',
          entity: 'Task',
          finished: expect.any(Date),
          foundBySweep: 0,
          missed: 0,
          sweeping: undefined,
          adopted: true,
          last: { rows: 'all', why: expect.any(String) },
        },
      ],
      held: [],
      handlers: [
        { handler: 'mails', available: 0, waiting: 0, dispatched: 0, running: 0, held: 0, discarded: 0, ...described },
      ],
      rechecks: { due: 0, oldest: undefined, others: 0 },
      orphans: [],
      running: [],
      workers: [
        {
          id: expect.any(String),
          host: expect.any(String),
          pid: process.pid,
          started: expect.any(Date),
          leaseUntil: expect.any(Date),
          running: 0,
        },
      ],
      counts: expect.objectContaining({ since: expect.any(Date), refusedEvents: 0, collidingKeys: 0 }),
    });

    await save(90);
    await save(91);
    await app.spark.drain();
    await sql(
      `INSERT INTO spark_handler (name, pattern, priority, revision, first_seen_at, last_seen_at) VALUES ('gone', '/nothing/', 0, 1, 1000, 1000)`,
    );
    const rows = ['available', 'running', 'held'].map((state, i) => `(${100 + i}, 'gone', '${state}', 0, 0, 0, 5000)`);
    const columns = 'event_id, handler, state, attempt, priority, suspect, due_at';
    await sql(`INSERT INTO spark_delivery (${columns}) VALUES ${rows.join(', ')}`);
    await sql(`INSERT INTO spark_event (id, event_key, event_group, recorded_at, depth${tokenColumn()})
      VALUES (102, 'x', 'old', 1, 0${tokenValue()})`);
    await sql(
      `INSERT INTO spark_recheck (entity, entity_id, due_at, attempt, depth) VALUES ('Nobody', '1', 7000, 0, 0)`,
    );
    await sql(`INSERT INTO spark_sweep (source, began_at, reached, baseline, found, missed, holder, held_until)
      VALUES ('elsewhere', 9000, '17', 0, 5, 2, 'somebody', 99999999999999)`);

    const now = await app.spark.status();
    expect(now.sources.find(({ source }) => source === 'elsewhere')).toEqual({
      source: 'elsewhere',
      entity: undefined,
      finished: undefined,
      foundBySweep: 5,
      missed: 2,
      sweeping: { since: new Date(9000), reached: '17', passed: 0, ranges: 0, running: true },
    });
    expect(now.held).toEqual([{ group: 'old', deliveries: 1 }]);
    const gone = { patterns: ['/nothing/'], lastSeen: new Date(1000) };
    expect(now.handlers).toEqual([
      {
        handler: 'gone',
        available: 1,
        oldest: new Date(5000),
        waiting: 0,
        dispatched: 0,
        running: 1,
        held: 1,
        discarded: 0,
        ...gone,
      },
      { handler: 'mails', available: 0, waiting: 1, dispatched: 0, running: 0, held: 0, discarded: 1, ...described },
    ]);
    expect(now.rechecks).toEqual({ due: 0, oldest: undefined, others: 1 });
    expect(now.orphans).toEqual([{ handler: 'gone', deliveries: 1, since: new Date(5000), lastSeen: new Date(1000) }]);
  });

  const tokenColumn = () => (database.name === 'MariaDB' ? ', token' : '');
  const tokenValue = () => (database.name === 'MariaDB' ? `, 'token'` : '');
});
