import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, RetryLater, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { Column, Entity, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { DAY } from './support/set-clock.js';

@Entity()
class Task {
  @PrimaryGeneratedColumn() id: number;
  @Column({ default: true }) open: boolean;
  @Column({ type: 'bigint', nullable: true }) due: string | null;
}

@Entity()
class Seat {
  @PrimaryColumn({ type: 'varchar', length: 8 }) row: string;
  @PrimaryColumn() number: number;
}

const START = Date.parse('2026-06-01T12:00:00Z');

@Injectable()
class Tasks {
  fails = false;
  context: object = {};

  @EventSource(Task, { name: 'tasks' })
  *events({ id, open, due }: Task) {
    if (this.fails) throw new Error('out of order');
    yield sparkEvent('created', id);
    if (open) yield sparkEvent('due', id, this.context, { at: due === null ? null : new Date(Number(due)) });
    yield sparkEvent('news', id, {}, { until: new Date(START - DAY) });
    if (!open) yield sparkEvent('', id);
  }

  @EventSource(Task, { name: 'closed', where: { open: false } })
  *closed({ id }: Task) {
    if (id < 0) yield sparkEvent('closed', id);
  }

  @EventSource(Task, { name: 'swept', live: false })
  *swept({ id }: Task) {
    yield sparkEvent('swept', id);
  }

  @EventSource(Seat, { name: 'seats' })
  *seats({ row, number }: Seat) {
    yield sparkEvent('seat', [row, number]);
  }
}

@Injectable()
class Unreadable {
  @EventSource(Task, { name: 'unreadable', live: false, query: (qb) => qb.andWhere('no_such_column = 1') })
  *events() {}
}

@Injectable()
class Handlers {
  fails = false;

  later = false;
  writes: (key: string) => unknown = () => undefined;

  @GroupHandler(/^created/, { name: 'mails', backoff: () => '1h', maxAttempts: 2 })
  async mail({ key }: SparkEvent) {
    await this.writes(key);
    if (this.later) throw new RetryLater('2h', 'closed for lunch');
    if (this.fails) throw new Error('no connection', { cause: new Error('refused') });
  }
}

describe.each(databases)('explain says why, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let kit: SparkTestKit;

  beforeEach(async () => {
    db = await database.create();
    app = await startApp({
      database: db,
      entities: [Task, Seat],
      providers: [Tasks, Handlers],
      clock: new TestClock(START),
    });
    kit = new SparkTestKit(app.app);
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const save = async (more: Partial<Task> = {}) => {
    const { id } = await app.dataSource.manager.save(Task, { open: true, due: String(START + DAY), ...more });
    await kit.drain();
    return id;
  };
  const insertUnseen = (values: string) => app.dataSource.query(`INSERT INTO task (open, due) VALUES (${values})`);
  const bool = (value: boolean) => (database.name === 'PostgreSQL' ? String(value) : String(Number(value)));
  const words = async (id: number) => (await app.spark.explain(Task, id)).words.join('\n');

  it('of a key that another entity has', async () => {
    await app.spark.emit(sparkEvent('created', 1));
    await app.dataSource.query(
      `UPDATE spark_event SET entity = 'Seat', entity_id = '["A","1"]', source = 'seats' WHERE event_key = 'created_1'`,
    );
    const id = await save();
    expect(id).toBe(1);
    expect(await words(1)).toContain(
      'created_1 was entered by Seat ["A","1"], found by seats, 2026-06-01T12:00:00.000Z. It is not entered for Task 1: keys are unique.',
    );
  });

  it('unless it is given what cannot be an id, or an entity that is none', async () => {
    await expect(app.spark.explain(Task, 'abc')).rejects.toThrow(
      `SparkService.explain was given 'abc', which cannot be an id of Task.`,
    );
    await expect(app.spark.explain(class Stranger {}, 1)).rejects.toThrow(
      'SparkService.explain was given Stranger, which belongs to no DataSource with a SparkModule.',
    );
  });

  it('of an event that was delivered, one to come, one too late, and one that only sweeps find', async () => {
    const id = await save();
    const explanation = await app.spark.explain(Task, id);
    expect(explanation.words.map((line) => line.replace(/in \d+ ms/, 'in 7 ms'))).toEqual([
      'closed is not about Task 1: its where, query or withDeleted leaves it out.',
      'due_1: it becomes true at 2026-06-02T12:00:00.000Z. The entity is rechecked then.',
      'news_1: it was not entered in time: its until is past.',
      'swept_1: it is true, but the entity has not been rechecked since; its source is not live; the next sweep enters it.',
      'created_1 was entered, found by tasks, 2026-06-01T12:00:00.000Z.',
      'created_1 → mails: completed 2026-06-01T12:00:00.000Z, after 1 attempt, in 7 ms.',
    ]);
    expect(explanation).toMatchObject({
      entity: 'Task',
      id: '1',
      exists: true,
      sources: [
        { source: 'tasks', live: true, isAbout: true, error: undefined },
        { source: 'closed', isAbout: false, events: [] },
        { source: 'swept', live: false, isAbout: true },
      ],
      events: [
        { key: 'created_1', group: 'created', source: 'tasks', deliveries: [{ handler: 'mails', state: 'completed' }] },
      ],
      rechecks: [{ due: new Date(START + DAY), attempt: 0 }],
    });
    expect(explanation.sources[0]!.events).toContainEqual({
      group: 'due',
      key: 'due_1',
      verdict: 'later',
      at: new Date(START + DAY),
      reason: undefined,
    });
  });

  it('of what nobody saw', async () => {
    await insertUnseen(`${bool(true)}, ${START + DAY}`);
    expect(await words(1)).toContain(
      'created_1: it is true, but the entity has not been rechecked since; the next save or sweep enters it.',
    );
    expect(await words(1)).toContain(
      'due_1: it becomes true at 2026-06-02T12:00:00.000Z. No recheck is due then; the next save or sweep enters it.',
    );
    await insertUnseen(`${bool(false)}, NULL`);
    expect(await words(2)).toMatch(/_2: it cannot be entered: its group is empty/);
    expect(await words(2)).toContain('closed yields nothing for it now.');
    await insertUnseen(`${bool(true)}, NULL`);
    expect(await words(3)).toContain('due_3: it has no date, so it never becomes true.');
  });

  it('of a recheck that is due, and of a source that throws', async () => {
    await app.dataSource.manager.update(Task, await save(), { open: true, due: String(START - 1) });
    expect(await words(1)).toContain('due_1: it is true; a recheck of the entity is due.');
    app.app.get(Tasks).fails = true;
    await app.dataSource.manager.update(Task, 1, { due: String(START - 2) });
    await kit.drain();
    expect(await words(1)).toMatch(/tasks throws \(Error: out of order\)\. It is rechecked at 2026-06-01T12:0/);
  });

  it('of a source that throws and has no recheck, as a sweep found that, and of one that cannot be read', async () => {
    await app.close();
    app = await startApp({
      database: db,
      entities: [Task, Seat],
      providers: [Tasks, Unreadable, Handlers],
      clock: new TestClock(START),
    });
    await insertUnseen(`${bool(true)}, NULL`);
    app.app.get(Tasks).fails = true;
    const explanation = await app.spark.explain(Task, 1);
    expect(explanation.words).toEqual([
      'closed is not about Task 1: its where, query or withDeleted leaves it out.',
      'tasks throws (Error: out of order). It is rechecked when it is saved, and by each sweep.',
      'swept_1: it is true, but the entity has not been rechecked since; its source is not live; the next sweep enters it.',
      expect.stringMatching(/^unreadable throws \(.*no_such_column.*\)\. Each sweep rechecks it\.$/),
    ]);
    expect(explanation.sources.find(({ source }) => source === 'unreadable')!.error).toContain('no_such_column');
  });

  it('of deliveries that wait, failed, are held, or have nobody', async () => {
    await app.dataSource.manager.save(Task, { open: true, due: null });
    expect(await words(1)).toContain('created_1 → mails: waits for a worker; no process is working.');
    app.app.get(Handlers).fails = true;
    await kit.drain();
    expect(await words(1)).toContain(
      'created_1 → mails: failed 1 attempt, next attempt at 2026-06-01T13:00:00.000Z: Error: no connection',
    );
    kit.clock.set(START + 3_600_000);
    expect(await words(1)).toContain(
      'created_1 → mails: waits for a worker; 1 process works. Before that it failed 1 attempt: Error: no connection; Caused by: Error: refused',
    );
    await app.dataSource.query(
      `INSERT INTO spark_worker (id, lease_until, host, pid, started_at) VALUES ('b', 99999999999999, 'h', 1, 1)`,
    );
    expect(await words(1)).toContain('waits for a worker; 2 processes work. Before that');
    await kit.drain();
    expect(await words(1)).toMatch(/created_1 → mails: discarded \S+, after 2 attempts: Error: no connection/);
    await app.spark.discard('created');
    await insertUnseen(`${bool(true)}, NULL`);
    await app.dataSource.query(`UPDATE spark_delivery SET state = 'held' WHERE handler = 'mails'`);
    expect(await words(1)).toContain('created_1 → mails: held');
    await app.dataSource.query(`UPDATE spark_delivery SET state = 'available', handler = 'old'`);
    await app.dataSource.query(
      `INSERT INTO spark_handler (name, pattern, priority, revision, first_seen_at, last_seen_at) VALUES ('old', '["^x",""]', 0, 1, 0, 0)`,
    );
    expect(await words(1)).toContain('created_1 → old: waits, but no process has had this handler since 1970-01-01');
    await app.dataSource.query(`DELETE FROM spark_delivery`);
    expect(await words(1)).toContain('It has no deliveries: no handler matched its group, or they were pruned.');
  });

  it('of what was put off by its handler', async () => {
    await app.dataSource.manager.save(Task, { open: true, due: null });
    app.app.get(Handlers).later = true;
    await kit.drain();
    expect(await words(1)).toContain(
      'created_1 → mails: waits, next attempt at 2026-06-01T14:00:00.000Z: RetryLater: closed for lunch',
    );
    kit.clock.set(START + 7_200_000);
    expect(await words(1)).toContain('Before that it was put off: RetryLater: closed for lunch');
  });

  it('of an event that does not happen again, as its key is spent', async () => {
    const id = await save();
    await kit.advance('1d');
    expect(await words(id)).not.toContain('was entered already');
    await app.dataSource.manager.update(Task, id, { due: String(START + 3 * DAY) });
    await kit.drain();
    expect(await words(id)).toContain(
      `due_1 was entered, found by tasks, 2026-06-02T12:00:00.000Z. However, its date is 2026-06-04T12:00:00.000Z now, and was ` +
        `2026-06-02T12:00:00.000Z then: it will not happen then, because the key due_1 was entered already, and each key is entered once.`,
    );
    expect(await words(id)).toContain('occurrence: eachValue(at)');
  });

  it('of an event that is refused for its context, and of one that too many led to', async () => {
    app.app.get(Tasks).context = { call: () => 1 };
    const id = await save();
    expect(await words(id)).toMatch(/due_1: it cannot be entered: context\.call is a function, which cannot be stored/);
    app.app.get(Tasks).context = {};
    app.app.get(Handlers).writes = (key) => app.dataSource.manager.save(Seat, { row: 'C', number: key.length });
    await app.spark.emit(sparkEvent('created', 'x'));
    await app.dataSource.query(`UPDATE spark_event SET depth = 16 WHERE event_key = 'created_x'`);
    await kit.drain();
    const seat = (await app.spark.explain(Seat, ['C', 9])).words.join('\n');
    expect(seat).toMatch(/seat_C,9: it was refused at \S+: seats yielded seat_C,9 at the end of a chain of 16 events/);
  });

  it('of what is not true any more, and of an entity that is gone', async () => {
    const id = await save();
    await app.spark.emit(sparkEvent('noted', id));
    await kit.advance('1d');
    await app.dataSource.manager.update(Task, id, { open: false });
    expect(await words(id)).toContain(
      'due_1 was entered, found by tasks, 2026-06-02T12:00:00.000Z. Its source no longer yields it.',
    );
    await app.dataSource.manager.delete(Task, id);
    const explanation = await app.spark.explain(Task, id);
    expect(explanation.exists).toBe(false);
    expect(explanation.words[0]).toBe('There is no Task 1: its sources yield nothing.');
    expect(explanation.events.map(({ key }) => key)).toEqual(['created_1', 'due_1']);
  });

  it('by a composite id too, and it changes nothing', async () => {
    await app.dataSource.manager.save(Seat, { row: 'A', number: 7 });
    expect((await app.spark.explain(Seat, ['A', 7])).events.map(({ key }) => key)).toEqual(['seat_A,7']);
    expect((await app.spark.explain(Seat, { row: 'A', number: 7 })).exists).toBe(true);
    await expect(app.spark.explain(Seat, 'A')).rejects.toThrow(/every part of the id of Seat/);
    await expect(app.spark.explain(Handlers, 1)).rejects.toThrow(/Handlers/);
    expect(await kit.events()).toEqual(['seat_A,7']);
  });
});
